package tui

import (
	"os"
	"slices"
	"strings"
	"testing"

	"doppel.live/internal/store/remote"
	"doppel.live/internal/tui/job"
)

const (
	secret    = "p%41 ss/wort"
	netUp     = `{"cards":[{"device":"eth0","address":"10.0.2.15/24","gateway":"10.0.2.2","dns":["10.0.2.3"]}],"links":[{"device":"eth0","mac":"52:54:00:12:34:56","kind":"device","up":true,"cable":true,"addresses":["10.0.2.15/24"]}]}`
	netDown   = `{"cards":[],"links":[{"device":"eth0","mac":"52:54:00:12:34:56","kind":"device","up":false,"addresses":[]},{"device":"eth1","up":true}]}`
	placeGood = `{"ok":true,"spec":"x","path":"/images","free":5000000000}`
)

// networked is the machine with a network that is up.
func networked() *runner {
	r := machine()
	r.replies["network status"] = reply{lines: []string{netUp}}
	r.replies["place use"] = reply{lines: []string{placeGood}}
	r.replies["place test"] = reply{lines: []string{placeGood}}
	r.then = map[string][]reply{}
	return r
}

func refused(answer string) reply {
	return reply{exit: job.Exit{Status: 1}, lines: []string{answer}}
}

// fedTo gives the standard input of each command that begins so.
func (r *runner) fedTo(prefix string) (out []string) {
	for i, command := range r.ran {
		if strings.HasPrefix(command, prefix) {
			out = append(out, r.fed[i])
		}
	}
	return out
}

// keeps fails where a secret stands anywhere but on the standard input.
func (s *script) keeps(r *runner, log string, secrets ...string) {
	s.t.Helper()
	all := strings.Join(s.seen, "\n") + strings.Join(r.ran, "\n") + log
	for _, secret := range secrets {
		if strings.Contains(all, secret) {
			s.t.Errorf("the secret %q was shown, logged or put on a command line:\n%s", secret, all)
		}
	}
}

// playLogged is play with the menu's log.
func playLogged(t *testing.T, r *runner, moves ...move) (*script, string) {
	t.Helper()
	s := &script{t: t, moves: moves}
	m := menuOf(t, s, r)
	var log strings.Builder
	m.Log = &log
	_ = m.Main()
	if len(s.moves) > 0 {
		t.Errorf("pages that did not come: %v; seen:\n%s", s.moves, strings.Join(s.seen, "\n"))
	}
	return s, log.String()
}

var toPlaces = move{"What would", "Choose"}

// Each kind of server: the URL on the command line, the secrets on the standard
// input alone.
func TestServers(t *testing.T) {
	for name, c := range map[string]struct {
		item, title string
		typed       []move // on the page of title
		argv, stdin string
	}{
		"nfs": {"NFS", "NFS server", []move{{"", "Server"}, {"", "nas.local"}, {"", "Folder"}, {"", "/export/images"}, {"", "Version"}, {"", "4"}},
			"nfs://nas.local/export/images?version=4", `{}`},
		"smb": {"Windows", "Samba", []move{{"", "Server"}, {"", `\\nas\`}, {"", "Share"}, {"", `images\lab`}, {"", "User"}, {"", "anna"}, {"", "Domain"}, {"", "LAB"}, {"", "Password"}, {"", secret}},
			"smb://LAB;anna@nas/images/lab", `{"password":"` + secret + `"}`},
		"smb, domain and user": {"Windows", "Samba", []move{{"", "Server"}, {"", "10.0.0.5"}, {"", "Share"}, {"", "images"}, {"", "User"}, {"", `LAB\anna`}},
			"smb://LAB;anna@10.0.0.5/images", `{}`},
		"smb guest": {"Windows", "Samba", []move{{"", "Server"}, {"", "nas"}, {"", "Share"}, {"", "images"}},
			"smb://nas/images", `{"guest":true}`},
		"sftp": {"SSH", "SSH server", []move{{"", "Server"}, {"", "10.0.0.5:2222"}, {"", "Folder"}, {"", "/srv/a b"}, {"", "User"}, {"", "anna"}, {"", "Password"}, {"", secret}},
			"sftp://anna@10.0.0.5:2222/srv/a%20b", `{"password":"` + secret + `"}`},
		"http": {"Web", "web server", []move{{"", "Server"}, {"", "[fe80::1]:8080"}, {"", "Encrypted"}},
			"http://[fe80::1]:8080/", `{}`},
		"url": {"Type a URL", "SSH server", nil, "sftp://anna@srv/i", `{"password":"` + secret + `"}`},
	} {
		t.Run(name, func(t *testing.T) {
			r := networked()
			moves := []move{toPlaces, {"Where are", c.item}}
			if name == "url" {
				moves = append(moves, move{"at a URL", "sftp:/x"}, move{"at a URL", "sftp://anna:p%2541%20ss%2Fwort@srv/i"})
			}
			for _, m := range c.typed {
				moves = append(moves, move{c.title, m.answer})
			}
			moves = append(moves, move{c.title, "Only test"}, move{"can be used", "Continue"}, move{c.title, "Use this"}, move{"Where are", "Continue"})
			s, log := playLogged(t, r, moves...)
			r.want(t, "place test "+c.argv+" --credentials - --json", "place use "+c.argv+" --credentials - --json")
			if got := r.fedTo("place use"); !slices.Equal(got, []string{c.stdin}) {
				t.Errorf("standard input %q, want %q", got, c.stdin)
			}
			s.holds("5.0 GB are free there")
			s.keeps(r, log, secret)
		})
	}
}

// Each failure is said in plain words, with what to do next, and leads back to
// the form, where all is still as it was typed.
func TestServerFailures(t *testing.T) {
	n := English().Net
	for _, reason := range []remote.Reason{remote.NoRoute, remote.UnknownName, remote.Refused, remote.NoFolder, remote.BadName, remote.Full, remote.ReadOnly, remote.Broken, remote.OtherKey, "", "news"} {
		t.Run(string(reason), func(t *testing.T) {
			r := networked()
			r.replies["place use"] = refused(`{"ok":false,"reason":"` + string(reason) + `","error":"\u001bdetail ` + secret + `","fingerprint":"SHA256:abc"}`)
			title := "cannot be used"
			if reason == remote.OtherKey {
				title = "WARNING"
			}
			s, log := playLogged(t, r, toPlaces, move{"Where are", "SSH"}, move{"SSH server", "Server"}, move{"SSH server", "srv"}, move{"SSH server", "User"}, move{"SSH server", "anna"},
				move{"SSH server", "Password"}, move{"SSH server", secret}, move{"SSH server", "Use this"}, move{title, "Continue"},
				move{"SSH server", "<"}, move{"Where are", "<"})
			if title == "WARNING" {
				s.holds(n.OtherKey.Intro, "SHA256:abc")
			} else {
				s.holds(or(n.Reasons[reason], n.Reasons[remote.Broken]), "?detail (hidden)")
			}
			s.holds("  Server | srv", "  Password | (typed)", n.Nexts[reason])
			s.keeps(r, log, secret)
			if len(r.jobs()) != 1 {
				t.Errorf("ran %q", r.jobs())
			}
		})
	}
}

// A server that does not let one in asks for user and password, until it does.
func TestServerDenied(t *testing.T) {
	r := networked()
	denied := refused(`{"ok":false,"reason":"denied","error":"permission denied","next":"use another user"}`)
	r.replies["place use"], r.then["place use"] = denied, []reply{denied, {lines: []string{placeGood}}}
	s, log := playLogged(t, r, toPlaces, move{"Where are", "Windows"}, move{"Samba", "Server"}, move{"Samba", "nas"}, move{"Samba", "Share"}, move{"Samba", "images"},
		move{"Samba", "Use this"}, move{"does not let you in", "Type user"}, move{"does not let", "anna"}, move{"does not let", "wrong"},
		move{"does not let you in", "Type user"}, move{"does not let", "bert"}, move{"does not let", secret}, move{"Where are", "Continue"})
	r.want(t, "place use smb://nas/images --credentials - --json", "place use smb://anna@nas/images --credentials - --json", "place use smb://bert@nas/images --credentials - --json")
	if got := r.fedTo("place use"); !slices.Equal(got, []string{`{"guest":true}`, `{"password":"wrong"}`, `{"password":"` + secret + `"}`}) {
		t.Errorf("standard input %q", got)
	}
	s.holds("Next: use another user")
	s.keeps(r, log, secret, "wrong")

	r = networked()
	r.replies["place use"] = denied
	playLogged(t, r, toPlaces, move{"Where are", "Windows"}, move{"Samba", "Server"}, move{"Samba", "nas"}, move{"Samba", "Share"}, move{"Samba", "images"},
		move{"Samba", "Use this"}, move{"does not let you in", "Back"}, move{"Samba", "<"}, move{"Where are", "<"})
}

// A key that nobody has agreed to is shown, and nothing but a yes agrees to it.
func TestServerKey(t *testing.T) {
	unknown := refused(`{"ok":false,"reason":"unknown-host-key","error":"new","fingerprint":"SHA256:abc+/d","key_type":"ssh-ed25519"}`)
	form := []move{toPlaces, {"Where are", "SSH"}, {"SSH server", "Server"}, {"SSH server", "srv"}, {"SSH server", "User"}, {"SSH server", "anna"}, {"SSH server", "Use this"}}
	for _, no := range []string{"No", "<"} {
		r := networked()
		r.replies["place use"] = unknown
		s, _ := playLogged(t, r, with(form, move{"right server", no}, move{"SSH server", "<"}, move{"Where are", "<"})...)
		s.holds("SHA256:abc+/d", "ssh-ed25519", "srv:22")
		if got := r.fedTo("place use"); !slices.Equal(got, []string{`{}`}) {
			t.Errorf("standard input %q", got)
		}
	}
	r := networked()
	r.replies["place use"], r.then["place use"] = unknown, []reply{{lines: []string{placeGood}}}
	playLogged(t, r, with(form, move{"right server", "Yes"}, move{"Where are", "Continue"})...)
	if got := r.fedTo("place use"); !slices.Equal(got, []string{`{}`, `{"host_key":"SHA256:abc+/d"}`}) {
		t.Errorf("standard input %q", got)
	}
	// It is agreed to for this server, not for another.
	r = networked()
	r.replies["place test"], r.then["place test"] = unknown, []reply{{lines: []string{placeGood}}}
	playLogged(t, r, with(form[:6], move{"SSH server", "Only test"}, move{"right server", "Yes"}, move{"can be used", "Continue"},
		move{"SSH server", "Server"}, move{"SSH server", "other"}, move{"SSH server", "Use this"}, move{"Where are", "Continue"})...)
	if got := append(r.fedTo("place test"), r.fedTo("place use")...); !slices.Equal(got, []string{`{}`, `{"host_key":"SHA256:abc+/d"}`, `{}`}) {
		t.Errorf("standard input %q", got)
	}
	// A server that asks again for the same key is not asked for ever.
	r = networked()
	r.replies["place use"] = unknown
	playLogged(t, r, with(form, move{"right server", "Yes"}, move{"cannot be used", "Continue"}, move{"SSH server", "<"}, move{"Where are", "<"})...)
}

// The certificate of a web server is agreed to as the key of an SSH server is,
// and is warned of where it is another one; without encryption there is none.
func TestServerCertificate(t *testing.T) {
	n := English().Net
	r := networked()
	r.replies["place use"] = refused(`{"ok":false,"reason":"unknown-host-key","error":"new","fingerprint":"SHA256:abc"}`)
	r.then["place use"] = []reply{refused(`{"ok":false,"reason":"other-host-key","error":"other","fingerprint":"SHA256:def","next":"agree to it"}`), {lines: []string{placeGood}}}
	s, _ := playLogged(t, r, toPlaces, move{"Where are", "Web"}, move{"web server", "Server"}, move{"web server", "srv"}, move{"web server", "Use this"},
		move{"right server", "Yes"}, move{"WARNING", "Continue"}, move{"web server", "Encrypted"}, move{"web server", "Use this"}, move{"Where are", "Continue"})
	s.holds("srv:443", "SHA256:abc", "SHA256:def", n.NewCertificate.Intro, n.OtherCertificate.Intro, n.Nexts[remote.OtherKey])
	if got := r.fedTo("place use"); !slices.Equal(got, []string{`{}`, `{"host_key":"SHA256:abc"}`, `{}`}) {
		t.Errorf("standard input %q", got)
	}
}

// Where no card is up the menu offers to bring one up, before it tries a server.
func TestServerWithoutNetwork(t *testing.T) {
	form := []move{toPlaces, {"Where are", "NFS"}, {"NFS server", "Use this"}, {"NFS server", "Server"}, {"NFS server", "srv"}, {"NFS server", "Use this"}}
	r := networked()
	r.replies["network status"], r.then["network status"] = reply{lines: []string{netDown}}, []reply{{lines: []string{netDown}}, {lines: []string{netUp}}}
	r.replies["network up"] = reply{exit: job.Exit{Status: 1}, lines: []string{"stderr:network: no cable is plugged in"}}
	r.replies["network up eth1 --ip"] = reply{lines: []string{"eth1 has 10.0.0.5/24"}}
	s := play(t, r, with(form, move{"network is not up", "Bring"}, move{"Network: Failed", "Continue"}, move{"network is not up", "Give"},
		move{"fixed address", "Bring"}, move{"fixed address", "Card"}, move{"fixed address", "Address"}, move{"fixed address", "10.0.0.5"}, move{"fixed address", "10.0.0.5/24"},
		move{"fixed address", "Gateway"}, move{"fixed address", "nine"}, move{"fixed address", "10.0.0.1"}, move{"fixed address", "Name"}, move{"fixed address", "9.9.9.9, 10.0.0.1"},
		move{"fixed address", "Bring"}, move{"Network: Done", "Continue"}, move{"Where are", "Continue"})...)
	r.want(t, "network up", "network up eth1 --ip 10.0.0.5::10.0.0.1:24::eth1:none:9.9.9.9:10.0.0.1", "place use nfs://srv/ --credentials - --json")
	s.holds("no cable is plugged in", "eth1 has 10.0.0.5/24", "Which server?")

	for name, status := range map[string]reply{"without": {lines: []string{netDown}}, "no card": {lines: []string{`{"cards":[],"links":[]}`}}} {
		r = networked()
		r.replies["network status"] = status
		play(t, r, with(form, move{"network is not up", "Go on without"}, move{"Where are", "Continue"})...)
		r.want(t, "place use nfs://srv/ --credentials - --json")
		r = networked()
		r.replies["network status"] = status
		play(t, r, with(form, move{"network is not up", "<"}, move{"NFS server", "<"}, move{"Where are", "<"})...)
		r.want(t)
		t.Log(name)
	}
}

func TestNetworkPage(t *testing.T) {
	r := networked()
	r.replies["network up eth0"] = reply{lines: []string{"eth0 has 10.0.2.15/24"}}
	r.replies["network down eth0"] = reply{}
	s := play(t, r, move{"What would", "Network"}, move{"Network", "eth0"}, move{"card eth0", "Bring it up"}, move{"Network: Done", "Continue"},
		move{"Network", "eth0"}, move{"card eth0", "Give"}, move{"fixed address", "<"}, move{"Network", "eth0"}, move{"card eth0", "Take"}, move{"Network: Done", "Continue"},
		move{"Network", "Look again"}, move{"Network", "<"})
	r.want(t, "network up eth0", "network down eth0")
	s.holds("eth0 | plugged in | 10.0.2.15/24 | 10.0.2.2 | 10.0.2.3", "52:54:00:12:34:56")
	r.replies["network status"] = reply{lines: []string{`{"cards":[],"links":null,"wireless":["0000:00:14.3"]}`}}
	s = play(t, r, move{"What would", "Network"}, move{"Network", "<"})
	s.holds("wireless card, which this version cannot use")
}

// A place in a network is the current one: its name is in the head and on the
// page of places, jobs name no folder, and no file lies beside its images.
func TestServerIsPlace(t *testing.T) {
	r := networked()
	r.replies["place status"] = reply{lines: []string{`{"current":{"spec":"sftp://anna@srv/i?host_key=SHA256%3Aabc","path":"sftp://anna@srv/i?host_key=SHA256%3Aabc","file_system":"sftp","free":-1}}`}}
	s := &script{t: t, moves: []move{toPlaces, {"Where are", "<"}, {"What would", "Rename"}, {"which one", "lab"}, {"Image lab", "<"}, {"which one", "<"}}}
	m := menuOf(t, s, r)
	_ = m.Main()
	s.holds("In use now: sftp://anna@srv/i\n", "Write it anew")
	if m.status != "Images: sftp://anna@srv/i" {
		t.Errorf("head %q", m.status)
	}
	for _, page := range s.seen {
		if strings.Contains(page, "Make a raw") {
			t.Errorf("a file is offered beside images on a server:\n%s", page)
		}
	}
}

// A hyphen empties a text, blanks around one do not count; in a secret every
// character does.
func TestFieldTexts(t *testing.T) {
	r := networked()
	s, _ := playLogged(t, r, toPlaces, move{"Where are", "SSH"}, move{"SSH server", "Server"}, move{"SSH server", " srv "}, move{"SSH server", "User"}, move{"SSH server", "anna"},
		move{"SSH server", "User"}, move{"SSH server", "-"}, move{"SSH server", "Password"}, move{"SSH server", "-"}, move{"SSH server", "Passphrase"}, move{"SSH server", ""},
		move{"SSH server", "Use this"}, move{"Where are", "Continue"})
	r.want(t, "place use sftp://srv/ --credentials - --json")
	if got := r.fedTo("place use"); !slices.Equal(got, []string{`{"password":"-"}`}) {
		t.Errorf("standard input %q", got)
	}
	s.holds("  Password | (typed)", "  Passphrase | -")
}

// A private key is read from its file and goes the way of a password.
func TestServerKeyFile(t *testing.T) {
	file := t.TempDir() + "/key"
	if err := os.WriteFile(file, []byte("-----BEGIN\nkeykey\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := networked()
	s, log := playLogged(t, r, toPlaces, move{"Where are", "SSH"}, move{"SSH server", "Server"}, move{"SSH server", "srv"}, move{"SSH server", "Key file"}, move{"SSH server", "/no/such/key"},
		move{"SSH server", "Use this"}, move{"cannot be used", "Continue"}, move{"SSH server", "Key file"}, move{"SSH server", file}, move{"SSH server", "Passphrase"}, move{"SSH server", secret},
		move{"SSH server", "Use this"}, move{"Where are", "Continue"})
	if got := r.fedTo("place use"); !slices.Equal(got, []string{`{"key":"-----BEGIN\nkeykey\n","passphrase":"` + secret + `"}`}) {
		t.Errorf("standard input %q", got)
	}
	s.holds("The key file cannot be read")
	s.keeps(r, log, secret, "keykey")
}

// The server that is the place for images already is chosen again without its
// credentials, which the menu does not keep.
func TestServerInUse(t *testing.T) {
	r := networked()
	r.replies["place list"] = reply{lines: []string{`{"places":[{"spec":"sftp://anna@srv/i","path":"sftp://anna@srv/i","file_system":"sftp","free":-1,"current":true}]}`}}
	s := play(t, r, toPlaces, move{"Where are", "sftp"}, move{"Where are", "Continue"})
	r.want(t)
	s.holds("Images are kept on sftp://anna@srv/i now.", "sftp://anna@srv/i | sftp |  |  |  | ")
}
