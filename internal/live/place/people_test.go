package place

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"doppel.live/internal/store/storetest/sshd"
	"doppel.live/internal/vm/lab"
	"doppel.live/internal/vm/terminal"
)

// TestPeople: what somebody meets at doppel's command line and in the menu,
// with real servers behind both.
func TestPeople(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, _ func()) {
		card(t)
		t.Run("doppel", testDoppel)
		t.Run("menu", testMenu)
	}, "uroot-cmds/menu", "uroot-cmds/network")
}

// card is a network card, which the menu looks for.
func card(t *testing.T) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "eth0"
	link := &netlink.Dummy{LinkAttrs: attrs}
	must(t, netlink.LinkAdd(link))
	address, err := netlink.ParseAddr("10.78.0.1/24")
	must(t, err)
	must(t, netlink.AddrAdd(link, address))
	must(t, netlink.LinkSetUp(link))
}

// command runs doppel and gives its exit status and all that it said.
func command(t *testing.T, args ...string) (int, string) {
	t.Helper()
	cmd := exec.Command("doppel", args...)
	out, _ := cmd.CombinedOutput()
	if strings.Contains(string(out), "w%40rd") {
		t.Errorf("%v tells the password: %s", args, out)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// testDoppel: --images names a place that doppel itself mounts for the time of
// a job, and that nobody else sees.
func testDoppel(t *testing.T) {
	lab.Do(t, "mke2fs", "-q", "-F", "-t", "ext4", "-L", "KEEP", "/dev/ubdb")
	source := make([]byte, 3<<20+512)
	rand.Read(source)
	must(t, os.WriteFile("/run/tmp/source", source, 0o600))
	text, err := json.Marshal(map[string]string{"password": password})
	must(t, err)
	must(t, os.WriteFile("/run/tmp/cred", text, 0o600))
	must(t, os.WriteFile("/run/tmp/wrong", []byte(`{"password": "wrong"}`), 0o600))

	for i, tt := range []struct{ spec, credentials string }{
		{"LABEL=KEEP", ""}, {"nfs://127.0.0.1/mnt/whole", ""}, {"nfs://127.0.0.1/mnt/whole/folder?version=3", ""},
		{"smb://backup@127.0.0.1/whole", "/run/tmp/cred"},
	} {
		t.Run(tt.spec, func(t *testing.T) {
			name, target := fmt.Sprint("lab-", i), "/run/tmp/target"
			must(t, os.WriteFile(target, make([]byte, len(source)), 0o600))
			for _, args := range [][]string{{"save", "/run/tmp/source", name}, {"images"}, {"restore", name, target, "--yes"}} {
				args = append(args, "--images", tt.spec)
				if tt.credentials != "" {
					args = append(args, "--credentials", tt.credentials)
				}
				if status, said := command(t, args...); status != 0 || !strings.Contains(said, name) && args[0] != "restore" {
					t.Fatalf("%v: exit status %d: %s", args, status, said)
				}
				mounts, err := os.ReadFile("/proc/mounts")
				must(t, err)
				if strings.Contains(string(mounts), "/dev/ubdb") || strings.Contains(string(mounts), "127.0.0.1") {
					t.Errorf("%v leaves a mount behind:\n%s", args, mounts)
				}
			}
			if got, err := os.ReadFile(target); err != nil || !bytes.Equal(got, source) {
				t.Errorf("what was restored is not what was saved: %v", err)
			}
		})
	}
	nothingInUse(t)
	refusals(t)
	typedPassword(t)
}

// refusals: each failure ends with a plain word and what to do.
func refusals(t *testing.T) {
	for _, tt := range []struct {
		spec, credentials string
		status            int
		says              string
	}{
		{"LABEL=NOTHING", "", 1, "nothing here answers"},
		{"LABEL=FULL", "", 3, "make room or choose another place"},
		{"nfs://127.0.0.1/mnt/nothing", "", 1, "no folder"},
		{"nfs://127.0.0.1/mnt/reading", "", 3, "read-only"},
		{"nfs://127.0.0.1/mnt/full", "", 3, "make room"},
		{"smb://backup@127.0.0.1/whole", "/run/tmp/wrong", 1, "does not let"},
		{"smb://backup@127.0.0.1/reading", "/run/tmp/cred", 3, "read-only"},
		{"smb://backup@127.0.0.1/full", "/run/tmp/cred", 3, "make room"},
	} {
		t.Run(tt.spec, func(t *testing.T) {
			args := []string{"save", "/run/tmp/source", "more", "--images", tt.spec}
			if tt.credentials != "" {
				args = append(args, "--credentials", tt.credentials)
			}
			status, said := command(t, args...)
			if status != tt.status || !strings.Contains(said, tt.says) {
				t.Errorf("exit status %d: %s", status, said)
			}
		})
	}
	nothingInUse(t)
}

// typedPassword: on a terminal the password of a share is asked for, and not
// shown.
func typedPassword(t *testing.T) {
	c := terminal.Start(t, exec.Command("doppel", "images", "--images", "smb://backup@127.0.0.1/whole"))
	for _, typed := range []string{"wrong", password} {
		c.See("Password of backup@127.0.0.1: ")
		c.Await(false)
		c.Type(typed + "\r")
	}
	c.See("lab-1")
	if status := c.Wait(); status != 0 || !c.Echo() || strings.Contains(c.Said(), "w%40rd") {
		t.Errorf("exit status %d, echo %v:\n%s", status, c.Echo(), c.Said())
	}
}

// person sits at a menu of numbered prompts.
type person struct{ *terminal.Terminal }

// says waits for a text, however it is broken into lines.
func (p person) says(text string) {
	p.See(strings.ReplaceAll(regexp.QuoteMeta(text), " ", `\s+`))
}

const prompt = `< back, \? help: `

// choose chooses an item of the page of that title.
func (p person) choose(title, item string) {
	p.See("== [^=\r\n]*" + regexp.QuoteMeta(title))
	p.pick(item)
}

// pick chooses an item of the page that is shown.
func (p person) pick(item string) {
	key := p.See(`(?m)^(\w+) +` + regexp.QuoteMeta(item))[1]
	p.See(prompt)
	p.Type(key + "\r")
}

// enter types a field of the form of that title.
func (p person) enter(title, field, text string) {
	p.choose(title, field)
	p.See(prompt)
	p.Type(text + "\r")
}

// back goes back from the page of that title.
func (p person) back(title string) {
	p.See("== [^=\r\n]*" + regexp.QuoteMeta(title))
	p.See(prompt)
	p.Type("<\r")
}

const (
	mainPage   = "What would you like to do?"
	placesPage = "Where are the images?"
	sshPage    = "Images on an SSH server"
	smbPage    = "Images on a Windows or Samba share"
	nfsPage    = "Images on an NFS server"
	webPage    = "Images on a web server"
	deniedPage = "The server does not let you in"
	failedPage = "This place cannot be used"
	keyPage    = "Is this the right server?"
)

// testMenu: the menu, its own process, with the servers that people have.
func testMenu(t *testing.T) {
	p := person{terminal.Start(t, exec.Command("menu", "--plain"))}
	p.choose(mainPage, "Choose where images are")
	menuSSH(t, p)
	menuReading(t, p)
	menuWeb(t, p)
	menuSMB(p)
	menuNFS(p)
	log, err := os.ReadFile("/var/log/doppel/menu.log")
	must(t, err)
	for _, secret := range []string{"w%40rd", sshd.Password, "wrong-77"} {
		if strings.Contains(p.Said(), secret) || strings.Contains(string(log), secret) {
			t.Errorf("%s was shown or logged", secret)
		}
	}
	noSecret(t)
}

// menuSSH: a key that nobody has agreed to yet, a wrong password and the right
// one, images of the place, and the server with another key.
func menuSSH(t *testing.T, p person) {
	server := sshd.Start(t)
	server.AllowPassword()
	p.choose(placesPage, "SSH server")
	p.enter(sshPage, "Server", server.Address())
	p.enter(sshPage, "Folder", "/mnt/whole")
	p.enter(sshPage, "User", server.User)
	p.enter(sshPage, "Password", "wrong-77")
	p.choose(sshPage, "Use this place")
	p.says(keyPage)
	p.See(`Kind of key +ssh-ed25519`)
	p.says(server.Fingerprint)
	p.pick("Yes, this is the right one")
	p.choose(deniedPage, "Type user and password again")
	p.See(prompt)
	p.Type("\r") // the same user
	p.See(`it is not shown\), ` + prompt)
	p.Await(false)
	p.Type(sshd.Password + "\r")
	p.says("Images are kept on sftp://" + server.User + "@" + server.Address() + "/mnt/whole now")
	p.pick("Continue")
	p.choose(mainPage, "Check an image")
	p.choose("Check: which image?", "lab-1")
	p.choose("Checked: Done", "Continue")

	p.choose(mainPage, "Choose where images are")
	p.choose(placesPage, "SSH server")
	p.enter(sshPage, "Folder", "/mnt/full")
	p.enter(sshPage, "Password", sshd.Password)
	p.choose(sshPage, "Only test it")
	p.says("This place can be used")
	p.says("There is no room left there")
	p.pick("Continue")
	p.enter(sshPage, "Folder", "/mnt/none")
	p.choose(sshPage, "Only test it")
	p.says("The server has no such folder or share")
	p.pick("Continue")

	server.Kill()
	server.NewHostKey()
	server.Run()
	p.choose(sshPage, "Use this place")
	p.See("WARNING: not the server it was")
	p.says(server.Fingerprint)
	p.says("Next: ask who looks after the server")
	p.See(prompt)
	p.Type("\r")
	p.back(sshPage)
}

// menuReading: an SSH server that lets nobody write.
func menuReading(t *testing.T, p person) {
	server := sshd.Start(t, "-R")
	must(t, os.WriteFile("/run/tmp/key", []byte(server.Key), 0o600))
	p.choose(placesPage, "SSH server")
	p.enter(sshPage, "Server", server.Address())
	p.enter(sshPage, "Folder", "/mnt/whole")
	p.enter(sshPage, "Key file", "/run/tmp/key")
	p.choose(sshPage, "Use this place")
	p.choose(keyPage, "Yes, this is the right one")
	p.says("It is read only: nothing can be saved there")
	p.pick("Continue")
	p.See("read only\r\n== " + regexp.QuoteMeta(mainPage))
	p.pick("Choose where images are")
}

// menuWeb: a web server with a certificate of its own.
func menuWeb(t *testing.T, p person) {
	server := httptest.NewTLSServer(http.FileServer(http.Dir("/mnt/whole")))
	t.Cleanup(server.Close)
	p.choose(placesPage, "Web server")
	p.enter(webPage, "Server", server.Listener.Addr().String())
	p.choose(webPage, "Use this place")
	p.says(keyPage)
	p.says("certificate of this server")
	p.pick("Yes, this is the right one")
	p.says("It is read only: nothing can be saved there")
	p.pick("Continue")
	p.choose(mainPage, "Choose where images are")
}

// menuSMB: a wrong password, a share that is full, one for reading, none.
func menuSMB(p person) {
	p.choose(placesPage, "Windows or Samba share")
	p.enter(smbPage, "Server", machineAddress)
	p.enter(smbPage, "Share", "full")
	p.enter(smbPage, "User", "backup")
	p.choose(smbPage, "Password")
	p.Await(false)
	p.Type("\x03") // back, with the echo on
	p.Await(true)
	p.enter(smbPage, "Password", "wrong-77")
	p.choose(smbPage, "Only test it")
	p.choose(deniedPage, "Type user and password again")
	p.See(prompt)
	p.Type("\r")
	p.See(`it is not shown\), ` + prompt)
	p.Await(false)
	p.Type(password + "\r")
	p.says("This place can be used")
	p.says("There is no room left there")
	p.pick("Continue")
	p.enter(smbPage, "Share", "nothing")
	p.choose(smbPage, "Only test it")
	p.says(failedPage)
	p.says("The server has no such folder or share")
	p.pick("Continue")
	p.enter(smbPage, "Share", "reading")
	p.choose(smbPage, "Use this place")
	p.says("It is read only: nothing can be saved there")
	p.pick("Continue")
	p.choose(mainPage, "Choose where images are")
}

// menuNFS: a folder for another machine, one that is full, no server, and at
// last a place that is used.
func menuNFS(p person) {
	p.choose(placesPage, "NFS server")
	p.enter(nfsPage, "Server", machineAddress+":2050")
	p.enter(nfsPage, "Folder", "/mnt/closed")
	p.choose(nfsPage, "Use this place")
	p.says(failedPage)
	p.says("it does not offer this service")
	p.pick("Continue")
	p.enter(nfsPage, "Server", machineAddress)
	p.choose(nfsPage, "Use this place")
	p.says(failedPage)
	p.says("The server has no such folder or share")
	p.pick("Continue")
	p.enter(nfsPage, "Folder", "/mnt/full")
	p.choose(nfsPage, "Use this place")
	p.See("Images are kept on nfs://")
	p.says("There is no room left there")
	p.pick("Continue")
	p.choose(mainPage, "Choose where images are")
	p.choose(placesPage, "NFS server")
	p.enter(nfsPage, "Folder", "/mnt/whole")
	p.choose(nfsPage, "Use this place")
	p.says("Images are kept on nfs://" + machineAddress + "/mnt/whole now")
	p.pick("Continue")
	p.See("== " + regexp.QuoteMeta(mainPage))
}
