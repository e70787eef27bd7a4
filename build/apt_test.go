package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The sources of a machine are read by apt itself; its answer goes through
// apt.sh as in build.sh.
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
	sh := exec.Command("sh", "-euc", ". ./apt.sh; choose_mirrors bookworm")
	sh.Stdin = strings.NewReader(string(uris))
	out, err := sh.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(string(out), "\n")
}

// aptRoot runs functions of apt.sh with a cache of its own, on a machine with
// the given apt configuration.
func aptRoot(t *testing.T, cache, mirror, config, functions string) (string, error) {
	t.Helper()
	tool(t, "apt-get")
	sh := exec.Command("sh", "-euc", `
		say() { echo "$*"; }
		die() { echo "$*"; exit 1; }
		offline= cache=$1 mirror=$2
		. ./apt.sh
		`+functions, "sh", cache, mirror)
	sh.Env = append(os.Environ(), "APT_CONFIG="+write(t, []byte(config)))
	out, err := sh.CombinedOutput()
	return string(out), err
}

// Of the machine's apt configuration only the way to the mirror counts.
func TestPrivateConfiguration(t *testing.T) {
	cache := t.TempDir()
	out, err := aptRoot(t, cache, "http://m.example/debian/", `
		Acquire::http::Proxy "http://proxy.example:3128";
		Acquire::https::CaInfo "/ca.pem";
		Acquire::Check-Valid-Until "false";
		Acquire::GzipIndexes "true";
		APT::Update::Post-Invoke { "touch `+cache+`/hook"; };
		DPkg::Post-Invoke { "touch `+cache+`/hook"; };
		APT::Get::AllowUnauthenticated "true";
		Acquire::AllowInsecureRepositories "true";
	`, "apt_root; APT_CONFIG=$apt/apt.conf apt-config dump; cat $apt/sources.list")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		`Acquire::http::Proxy "http://proxy.example:3128";`,
		`Acquire::https::CaInfo "/ca.pem";`,
		`Acquire::Check-Valid-Until "true";`,
		`Acquire::GzipIndexes "false";`,
		`http://m.example/debian trixie main non-free-firmware`,
		`http://m.example/debian trixie-updates main non-free-firmware`,
		`http://m.example/debian-security trixie-security main non-free-firmware`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("missing: %s", want)
		}
	}
	for _, unwanted := range []string{"Post-Invoke", "Unauthenticated", `InsecureRepositories "true"`} {
		if strings.Contains(out, unwanted) {
			t.Errorf("taken over: %s", unwanted)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
}

// An archive that nobody signed is refused even where the machine would take it.
func TestUnsignedArchiveIsRefused(t *testing.T) {
	archive := t.TempDir()
	for _, suite := range []string{"debian/dists/trixie", "debian/dists/trixie-updates", "debian-security/dists/trixie-security"} {
		dir := filepath.Join(archive, suite)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		release := "Origin: Debian\nCodename: " + filepath.Base(dir) + "\nDate: Mon, 04 May 2026 13:22:40 UTC\nSHA256:\n"
		if err := os.WriteFile(filepath.Join(dir, "Release"), []byte(release), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, err := aptRoot(t, t.TempDir(), "file:"+archive+"/debian",
		`Acquire::AllowInsecureRepositories "true";`, "apt_root; lists")
	if err == nil || !strings.Contains(out, "is not signed") {
		t.Errorf("%v\n%s", err, out)
	}
	if !strings.Contains(out, "the cache holds none") {
		t.Errorf("it is not said that there are no older lists:\n%s", out)
	}
}
