package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"doppel.live/internal/store/storetest/sshd"
	"doppel.live/internal/vm/terminal"
)

// terminalLab is a folder of images on an SSH server that wants a password, and
// a home of its own.
func terminalLab(t *testing.T) (l *lab, server *sshd.Server, place string) {
	t.Helper()
	l, server = &lab{t: t, dir: t.TempDir()}, sshd.Start(t)
	server.AllowPassword()
	if err := os.Mkdir(l.path("images"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("SSH_AUTH_SOCK", "")
	return l, server, fmt.Sprintf("sftp://%s@%s%s", server.User, server.Address(), l.path("images"))
}

// On a terminal doppel asks whether the key of an SSH server is right, and for
// the password, which it does not show, until one lets it in.
func TestPasswordIsAskedFor(t *testing.T) {
	l, server, place := terminalLab(t)
	c := terminal.Start(t, l.process("images", "--images", place))
	c.See(`Nobody has agreed to the key of \S+ yet: ssh-ed25519 ` + server.Fingerprint[:12])
	c.See(`\(yes/no\) `)
	if !c.Echo() {
		t.Error("a question that is no secret is not shown")
	}
	c.Type("yes\r")
	for _, password := range []string{"wrong-77", sshd.Password} {
		c.See(`does not let \S+ in`)
		c.See("Password of " + server.User + "@127.0.0.1: ")
		c.Await(false)
		c.Type(password + "\r")
	}
	c.See("There are no images")
	if status := c.Wait(); status != done || !c.Echo() {
		t.Errorf("exit status %d, echo %v", status, c.Echo())
	}
	if said := c.Said(); strings.Contains(said, sshd.Password) || strings.Contains(said, "wrong-77") {
		t.Errorf("a password was shown:\n%s", said)
	}
	// From then on the key is known, and another one is not asked about.
	server.Kill()
	server.NewHostKey()
	server.Run()
	c = terminal.Start(t, l.process("images", "--images", place))
	c.See("Somebody may stand between this machine and the server")
	if status := c.Wait(); status != failed || strings.Contains(c.Said(), "yes/no") || strings.Contains(c.Said(), "Password of") {
		t.Errorf("exit status %d:\n%s", status, c.Said())
	}
}

// On a terminal doppel asks whether a certificate that nobody has signed is the
// right one, and for the password of a web server.
func TestCertificateIsAskedFor(t *testing.T) {
	l := &lab{t: t, dir: t.TempDir()}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != sshd.Password {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		http.FileServer(http.Dir(l.dir)).ServeHTTP(w, r)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	place := "https://anna@" + server.Listener.Addr().String() + "/"
	c := terminal.Start(t, l.process("images", "--images", place))
	c.See(`shows a certificate that nobody known has signed: SHA256:`)
	c.See(`\(yes/no\) `)
	c.Type("no\r")
	if status := c.Wait(); status != failed {
		t.Errorf("exit status %d:\n%s", status, c.Said())
	}
	c = terminal.Start(t, l.process("images", "--images", place))
	c.See(`\(yes/no\) `)
	c.Type("yes\r")
	c.See("Password of anna@127.0.0.1: ")
	c.Await(false)
	c.Type(sshd.Password + "\r")
	c.See("There are no images")
	if status := c.Wait(); status != done || strings.Contains(c.Said(), sshd.Password) {
		t.Errorf("exit status %d:\n%s", status, c.Said())
	}
}

// Ctrl-C at the prompt ends the command, and the terminal shows again what is
// typed. Enter alone is no password: then what the server said is the answer.
func TestPasswordPromptEnds(t *testing.T) {
	l, server, place := terminalLab(t)
	for name, end := range map[string]string{"Ctrl-C": "\x03", "Enter": "\r"} {
		t.Run(name, func(t *testing.T) {
			c := terminal.Start(t, l.process("images", "--images", place+"?host_key="+server.Fingerprint))
			c.See("Password of ")
			c.Await(false)
			c.Type(end)
			status := c.Wait()
			t.Log(c.Said())
			if status != failed || !c.Echo() {
				t.Errorf("exit status %d, echo %v", status, c.Echo())
			}
		})
	}
}
