package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"doppel.live/internal/store/storetest/sshd"
)

// credentials writes a credentials file for a server of tests.
func (l *lab) credentials(s *sshd.Server) string {
	l.t.Helper()
	data, err := json.Marshal(map[string]string{"key": s.Key, "host_key": s.Fingerprint})
	if err != nil {
		l.t.Fatal(err)
	}
	if err := os.WriteFile(l.path("credentials.json"), data, 0o600); err != nil {
		l.t.Fatal(err)
	}
	return l.path("credentials.json")
}

// away is how long a server is away in the middle of a job.
func away() time.Duration {
	if os.Getenv("DOPPEL_SOAK") != "" {
		return 30 * time.Second
	}
	return 2 * time.Second
}

// outage runs a command during which the server is away once, when the volume
// of that name begins.
func (l *lab) outage(s *sshd.Server, volume, says string, args ...string) {
	l.t.Helper()
	back := make(chan struct{})
	var once sync.Once
	l.on = func(line string) {
		if strings.Contains(line, `"event":"step"`) && strings.Contains(line, volume) {
			once.Do(func() {
				s.Kill()
				time.AfterFunc(away(), func() {
					defer close(back)
					s.Run()
				})
			})
		}
	}
	status, out := l.doppel(context.Background(), "", append(args, "--json")...)
	l.on = nil
	if status != done || !strings.Contains(out, says) || !strings.Contains(out, "was lost") || !strings.Contains(out, "is there again") {
		l.t.Fatalf("%v: exit status %d:\n%s", args, status, out)
	}
	<-back
	if strings.Contains(out, "PRIVATE KEY") {
		l.t.Error("the key is told")
	}
}

// An image is saved to an SSH server that goes away in the middle, checked,
// renamed, restored with another absence, and removed.
func TestSFTPPlace(t *testing.T) {
	l, server := newLab(t), sshd.Start(t)
	cred := l.credentials(server)
	l.random("tree/file", 25*mib, 0, 25*mib) // so that the server is missed
	l.random("fs", 32*mib, 0, 0)
	l.tool("", "mke2fs", "-q", "-F", "-t", "ext4", "-L", "root", "-d", l.path("tree"), l.path("fs"))
	l.copyInto("fs", "source.img", 3*mib)
	place := fmt.Sprintf("sftp://%s@%s%s", server.User, server.Address(), l.path("images"))
	at := []string{"--images", place, "--credentials", cred}
	l.outage(server, "source.img2", "is saved", append([]string{"save", "source.img", "lab", "--compress", "none"}, at...)...)
	l.expect(done, "can be restored", append([]string{"verify", "lab"}, at...)...)
	l.expect(refused, "already", append([]string{"save", "source.img", "lab"}, at...)...)
	l.expect(done, "office", append([]string{"images", "rename", "lab", "office"}, at...)...)
	l.expect(done, "office", append([]string{"images"}, at...)...)
	l.outage(server, "source.img2", "is restored", append([]string{"restore", "office", "target.img", "--yes", "--verify"}, at...)...)
	l.restored()
	l.expect(done, "can be restored", "verify", place+"/office", "--credentials", cred)
	l.expect(done, "can be restored", "verify", "office") // it is a folder as any
	l.expect(misused, "needs a folder", append([]string{"save", "source.img", "x", "--rescue"}, at...)...)
	l.expect(done, "is removed", append([]string{"images", "remove", "office", "--yes"}, at...)...)
	if left, _ := os.ReadDir(l.path("images")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// What a server refuses is said with what to do, and nobody is asked for
// passwords where nobody is.
func TestPlaceRefusals(t *testing.T) {
	l, server := newLab(t), sshd.Start(t)
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("SSH_AUTH_SOCK", "")
	cred := l.credentials(server)
	plain := fmt.Sprintf("sftp://%s@%s%s", server.User, server.Address(), l.path("images"))
	l.expect(failed, "does not let", "images", "--images", plain+"?host_key="+server.Fingerprint)
	l.expect(failed, "nobody has agreed", "images", "--images", plain)
	l.expect(failed, "there is no folder", "images", "--images", plain+"/none", "--credentials", cred)
	out := l.expect(failed, "password in the URL", "images", "--images", "sftp://anna:hush@127.0.0.1/x")
	out += l.expect(failed, "password in the URL", "verify", "sftp://anna:hush@127.0.0.1/x/lab")
	if strings.Contains(out, "hush") {
		t.Error(out)
	}
	l.expect(failed, "is no kind of place", "images", "--images", "ftp://server/x")
	// Somebody is asked, and the key is known from then on.
	l.answer("no", failed, server.Fingerprint, "images", "--images", plain, "--credentials", l.without(cred))
	l.answer("yes", done, "There are no images", "images", "--images", plain, "--credentials", l.without(cred))
	l.expect(done, "There are no images", "images", "--images", plain, "--credentials", l.without(cred))
}

// without is a credentials file that pins no host key.
func (l *lab) without(file string) string {
	l.t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		l.t.Fatal(err)
	}
	var c map[string]string
	if err := json.Unmarshal(data, &c); err != nil {
		l.t.Fatal(err)
	}
	delete(c, "host_key")
	if data, err = json.Marshal(c); err != nil {
		l.t.Fatal(err)
	}
	if err := os.WriteFile(l.path("unpinned.json"), data, 0o600); err != nil {
		l.t.Fatal(err)
	}
	return l.path("unpinned.json")
}

// An image on a web server is listed, checked and restored, and nothing is
// saved there.
func TestHTTPPlace(t *testing.T) {
	l := newLab(t)
	l.expect(done, "is saved", "save", "source.img", "lab")
	server := httptest.NewServer(http.FileServer(http.Dir(l.dir)))
	defer server.Close()
	place := server.URL + "/images"
	l.expect(done, "lab", "images", "--images", place)
	l.expect(done, "can be restored", "verify", "lab", "--images", place)
	l.expect(done, "is restored", "restore", place+"/lab", "target.img", "--yes", "--verify")
	l.restored()
	l.expect(refused, "read-only", "save", "source.img", "new", "--images", place)
	l.expect(failed, "read-only", "images", "remove", "lab", "--yes", "--images", place)
}

func TestRecord(t *testing.T) {
	file := t.TempDir() + "/place.json"
	if spec, _, err := record(file); spec != "" || err != nil {
		t.Error(spec, err)
	}
	if err := os.WriteFile(file, []byte(`{"url": "sftp://u@h/x", "credentials": {"password": "hush"}, "read_only": true}`), 0o600); err != nil {
		t.Fatal(err)
	}
	spec, cred, err := record(file)
	if spec != "sftp://u@h/x" || cred.Password.Reveal() != "hush" || err != nil {
		t.Error(spec, err)
	}
	if err := os.WriteFile(file, []byte(`hush`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := record(file); err == nil || strings.Contains(err.Error(), "hush") {
		t.Error(err)
	}
}

func TestHelpPlaces(t *testing.T) {
	l := &lab{t: t, dir: t.TempDir()}
	out := l.expect(done, "sftp://", "help", "places")
	for line := range strings.Lines(out) {
		if len(line) > 81 {
			t.Errorf("longer than a terminal is wide: %q", line)
		}
	}
}
