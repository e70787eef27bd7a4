package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The sources of a machine are read by apt itself; its answer goes through
// mirrors.sh as in build.sh.
func TestMirrors(t *testing.T) {
	for _, c := range []struct{ name, list, sources, want string }{
		{
			name: "one line each",
			list: "deb http://m.example/debian bookworm main contrib\n" +
				"#deb http://commented.example/debian bookworm main\n" +
				"deb-src http://source.example/debian bookworm main\n" +
				"deb [arch=amd64 trusted=yes] http://s.example/debian-security/ bookworm-security main\n",
			want: "http://m.example/debian http://s.example/debian-security",
		},
		{
			name: "deb822",
			sources: "Types: deb deb-src\nURIs: https://m.example/pub/debian/\nSuites: bookworm bookworm-updates\nComponents: main\n\n" +
				"Types: deb\nURIs: http://off.example/debian-security\nSuites: bookworm-security\nComponents: main\nEnabled: no\n\n" +
				"Types: deb\nURIs: http://s.example/debian-security\nSuites: bookworm-security\nComponents: main\n",
			want: "https://m.example/pub/debian http://s.example/debian-security",
		},
		{
			name: "another archive with Debian's suite names comes first",
			list: "deb http://vendor.example/stable/debian bookworm main\n" +
				"deb http://m.example/mirror bookworm main\ndeb http://m.example/mirror bookworm-updates main\n",
			want: "http://m.example/mirror ",
		},
		{
			name: "suite named by its age",
			list: "deb http://m.example/debian stable main\n",
			want: "http://m.example/debian ",
		},
		{
			name: "list of mirrors",
			list: "deb mirror+file:/etc/apt/mirrors/debian.list bookworm main\n",
			want: "mirror+file:/etc/apt/mirrors/debian.list ",
		},
		{
			name: "only others",
			list: "deb http://vendor.example/repo noble main\ndeb http://docker.example/linux/debian bookworm stable\n",
			want: " ",
		},
		{name: "nothing", want: " "},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := mirrors(t, c.list, c.sources); got != c.want {
				t.Errorf("mirrors are %q, want %q", got, c.want)
			}
		})
	}
}

func mirrors(t *testing.T, list, sources string) string {
	t.Helper()
	apt, dir := tool(t, "apt-get"), t.TempDir()
	for name, text := range map[string]string{"sources.list": list, "parts/d.sources": sources} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "lists/partial"), 0o755); err != nil {
		t.Fatal(err)
	}
	uris, err := exec.Command(apt, "update", "--print-uris",
		"-o", "Dir::State::lists="+filepath.Join(dir, "lists"),
		"-o", "Dir::Etc::sourcelist="+filepath.Join(dir, "sources.list"),
		"-o", "Dir::Etc::sourceparts="+filepath.Join(dir, "parts")).Output()
	if err != nil {
		t.Fatal(err)
	}
	sh := exec.Command("sh", "mirrors.sh", "bookworm")
	sh.Stdin = strings.NewReader(string(uris))
	out, err := sh.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(string(out), "\n")
}
