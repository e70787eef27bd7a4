package tui

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"doppel.live/internal/store/remote"
)

// server is a place for images in a network as it is typed into a form.
type server struct {
	scheme string
	host, folder, user, domain, password,
	version, key, passphrase, secure *field
	hostKeys map[string]string // that were agreed to, by host:port
}

// newServer gives an empty form for a kind of server.
func (m *Menu) newServer(scheme string) *server {
	n := &m.Text.Net
	s := &server{scheme: scheme, hostKeys: map[string]string{},
		host:       &field{name: n.Host, note: n.HostNote, check: m.checkHost},
		folder:     &field{name: n.Folder, note: n.FolderNotes[scheme]},
		user:       &field{name: n.User, note: n.UserNotes[scheme]},
		domain:     &field{name: n.Domain, note: n.DomainNote},
		password:   &field{name: n.Password, note: n.PasswordNote, hidden: true},
		version:    &field{name: n.Version, note: n.VersionNote, choices: []string{"", "3", "4"}, labels: []string{n.AnyVersion, "3", "4"}},
		key:        &field{name: n.Key, note: n.KeyNote},
		passphrase: &field{name: n.Passphrase, note: n.PassphraseNote, hidden: true},
		secure:     &field{name: n.Secure, value: remote.HTTPS, note: n.SecureNote, choices: []string{remote.HTTPS, remote.HTTP}, labels: []string{n.SecureYes, n.SecureNo}},
	}
	if scheme == remote.SMB {
		s.folder.name = n.Share
	}
	return s
}

// fields are those that this kind of server needs.
func (s *server) fields() []*field {
	switch s.scheme {
	case remote.NFS:
		return []*field{s.host, s.folder, s.version}
	case remote.SMB:
		return []*field{s.host, s.folder, s.user, s.domain, s.password}
	case remote.SFTP:
		return []*field{s.host, s.folder, s.user, s.password, s.key, s.passphrase}
	}
	return []*field{s.host, s.folder, s.secure, s.user, s.password}
}

// take fills the form with what a URL says.
func (s *server) take(l remote.Location, password remote.Secret) {
	s.host.value, s.folder.value, s.user.value, s.domain.value = l.Host, l.Path, l.User, l.Domain
	if l.Port != 0 {
		s.host.value = net.JoinHostPort(l.Host, strconv.Itoa(l.Port))
	}
	s.version.value, s.password.value = l.Version, password.Reveal()
	if l.HostKey != "" {
		s.hostKeys[l.Address()] = l.HostKey
	}
	if l.Scheme == remote.HTTP || l.Scheme == remote.HTTPS {
		s.secure.value = l.Scheme
	}
}

// location is where the form leads to. Its errors hold no secret.
func (s *server) location() (remote.Location, error) {
	l := remote.Location{Scheme: s.scheme, User: s.user.value, Path: "/" + strings.TrimLeft(strings.ReplaceAll(s.folder.value, `\`, "/"), "/")}
	l.Host, l.Port = hostPort(s.host.value)
	switch s.scheme {
	case remote.SMB:
		if l.Domain = s.domain.value; strings.Contains(l.User, `\`) {
			l.Domain, l.User, _ = strings.Cut(l.User, `\`)
		}
		if l.User == "" {
			l.Domain = "" // a guest has none
		}
	case remote.NFS:
		l.User, l.Version = "", s.version.value
	case remote.HTTP, remote.HTTPS:
		l.Scheme = s.secure.value
	}
	parsed, _, err := remote.Parse(l.String())
	return parsed, err
}

// hostPort reads a server's name or address, with a port or without, also with
// the strokes before it that Windows writes.
func hostPort(text string) (host string, port int) {
	text = strings.Trim(strings.TrimSpace(text), `\/`)
	if _, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return strings.Trim(text, "[]"), 0
	}
	if host, number, err := net.SplitHostPort(text); err == nil {
		if port, err = strconv.Atoi(number); err == nil && port > 0 && port < 1<<16 {
			return host, port
		}
	}
	return text, 0
}

func (m *Menu) checkHost(text string) string {
	host, port := hostPort(text)
	_, _, err := remote.Parse(remote.Location{Scheme: remote.NFS, Host: host, Port: port, Path: "/"}.String())
	return problemOf(err)
}

// problemOf is an error as a sentence on a page, "" for none.
func problemOf(err error) string {
	var e *remote.Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Error() + ". " + e.Next
	}
	return err.Error()
}

// maxKey bounds the file of a private key, bytes.
const maxKey = 32 << 10

// credentials are the secrets of the form, as the JSON that place reads.
func (s *server) credentials(l remote.Location) (text []byte, secrets []remote.Secret, err error) {
	c := map[string]any{}
	add := func(name, value string) {
		if value != "" {
			c[name] = value
			secrets = append(secrets, remote.NewSecret(value))
		}
	}
	if s.scheme != remote.NFS {
		add("password", s.password.value)
	}
	if key := s.hostKeys[l.Address()]; key != "" && (l.Scheme == remote.SFTP || l.Scheme == remote.HTTPS) {
		c["host_key"] = key
	}
	switch s.scheme {
	case remote.SMB:
		if s.user.value == "" {
			c["guest"] = true
		}
	case remote.SFTP:
		if s.key.value != "" {
			key, err := readSome(s.key.value, maxKey)
			if err != nil {
				return nil, nil, err
			}
			add("key", key)
			add("passphrase", s.passphrase.value)
		}
	}
	text, err = json.Marshal(c)
	return text, secrets, err
}

func readSome(path string, limit int64) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s is no private key: it is too long", path)
	}
	return string(data), err
}

// forget drops the secrets of the form.
func (s *server) forget() { s.password.value, s.passphrase.value = "", "" }

// askURL asks for the URL of a place and gives the form that it fills.
func (m *Menu) askURL() (*server, error) {
	n := &m.Text.Net
	read := func(text string) (remote.Location, remote.Secret, error) {
		return remote.Parse(strings.TrimSpace(text))
	}
	typed, err := m.Dialogue.Ask(Question{
		Page:   Page{Status: m.status, Title: n.URL.Title, Body: paragraph(n.URL.Intro), Help: n.URL.Help},
		Prompt: n.URLPrompt,
		Check: func(text string) string {
			_, _, err := read(text)
			return problemOf(err)
		},
	})
	if err != nil {
		return nil, err
	}
	l, password, err := read(typed)
	if err != nil {
		return nil, err
	}
	s := m.newServer(l.Scheme)
	s.take(l, password)
	return s, nil
}
