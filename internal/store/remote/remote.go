// Package remote says how places for images in a network are named: their
// URLs, the credentials that they ask for, and why one cannot be used. It
// opens no connection; the back ends do.
//
// A place is one of
//
//	nfs://HOST[:PORT]/EXPORT[/FOLDER][?version=3|4]
//	smb://[[DOMAIN;]USER@]HOST[:PORT]/SHARE[/FOLDER]
//	sftp://[USER@]HOST[:PORT]/FOLDER[?host_key=SHA256:…]
//	http://HOST[:PORT]/FOLDER, https://…    reading only
//
// A password in a URL is taken, since Clonezilla's ocs_repository has them,
// but it never comes back: Location holds none.
package remote

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
)

// The kinds of places.
const (
	NFS   = "nfs"
	SMB   = "smb"
	SFTP  = "sftp"
	HTTP  = "http"
	HTTPS = "https"
)

// Location is where a place is. It holds no secret and may be shown.
type Location struct {
	Scheme  string // one of the constants
	Domain  string // smb: of the user; "" is none
	User    string // "" where none was named
	Host    string // name or address, without brackets
	Port    int    // 0 is the scheme's own
	Path    string // begins with "/", clean; smb: the share comes first
	Version string // nfs: "3", "4"; "" lets both sides agree
	HostKey string // sftp: fingerprint "SHA256:…" that the server must show; "" is none
}

// Is tells whether spec is a URL of a place in a network, of a kind that is
// known here or not: something://….
func Is(spec string) bool {
	scheme, _, ok := strings.Cut(spec, "://")
	return ok && scheme != "" && !strings.ContainsAny(scheme, "/=.: ")
}

// Parse reads the URL of a place, and gives the password in it apart. Its
// errors never quote the URL, which may hold one.
func Parse(spec string) (Location, Secret, error) {
	u, err := url.Parse(spec)
	if err != nil || u.Opaque != "" {
		return Location{}, Secret{}, &Error{Reason: BadName, What: "this is no URL of a place for images",
			Next: "Write it as nfs://server/folder, smb://server/share, sftp://user@server/folder or https://server/folder."}
	}
	l := Location{Scheme: scheme(u.Scheme), User: u.User.Username(), Host: u.Hostname(), Path: path.Clean("/" + u.Path)}
	if u.Scheme == "nfs4" {
		l.Version = "4"
	}
	if err := l.check(u); err != nil {
		return Location{}, Secret{}, err
	}
	if domain, user, ok := strings.Cut(l.User, ";"); ok && l.Scheme == SMB {
		l.Domain, l.User = domain, user
	} else if domain, user, ok := strings.Cut(l.User, `\`); ok && l.Scheme == SMB {
		l.Domain, l.User = domain, user
	}
	if l.Scheme == SMB && strings.ContainsAny(l.User+l.Domain, `;\`) {
		return Location{}, Secret{}, &Error{Reason: BadName, What: "a user's name holds no ; and no \\", Next: "Write smb://DOMAIN;USER@server/share."}
	}
	password, _ := u.User.Password()
	return l, NewSecret(password), l.options(u.Query())
}

// scheme gives the name that is used here for one of several.
func scheme(s string) string {
	switch s {
	case "nfs4":
		return NFS
	case "cifs":
		return SMB
	case "ssh", "sshfs":
		return SFTP
	}
	return s
}

func (l *Location) check(u *url.URL) error {
	bad := func(format string, args ...any) error {
		return &Error{Reason: BadName, What: fmt.Sprintf(format, args...),
			Next: "Write it as nfs://server/folder, smb://server/share, sftp://user@server/folder or https://server/folder."}
	}
	if !slices.Contains([]string{NFS, SMB, SFTP, HTTP, HTTPS}, l.Scheme) {
		return bad("%q is no kind of place that is known here", l.Scheme)
	}
	if l.Host == "" {
		return bad("no server is named")
	}
	if _, err := netip.ParseAddr(l.Host); err != nil && strings.ContainsFunc(l.Host, notInName) {
		return bad("%q is no name or address of a server", l.Host)
	}
	if strings.ContainsFunc(l.Path+l.User, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return bad("there are control characters in it")
	}
	if p := u.Port(); p != "" {
		n, err := strconv.Atoi(p)
		if err != nil || n < 1 || n > 65535 {
			return bad("the port must be a number from 1 to 65535")
		}
		l.Port = n
	}
	if l.Scheme == SMB && l.Path == "/" {
		return bad("no share is named")
	}
	return nil
}

// notInName tells whether r is not one of the characters of a server's name.
func notInName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '-' && r != '_'
}

func (l *Location) options(q url.Values) error {
	for key, values := range q {
		value := values[len(values)-1]
		switch {
		case key == "version" && l.Scheme == NFS && (value == "3" || strings.HasPrefix(value, "4")):
			l.Version = value
		case key == "host_key" && l.Scheme == SFTP && strings.HasPrefix(value, "SHA256:"):
			// base64 has "+", which a query means as a space
			l.HostKey = strings.ReplaceAll(value, " ", "+")
		default:
			return &Error{Reason: BadName, What: fmt.Sprintf("the option %s is not known for %s, or has no such value", key, l.Scheme),
				Next: "nfs takes version=3 or version=4, sftp host_key=SHA256:…"}
		}
	}
	return nil
}

// String gives the URL. Parse reads it back.
func (l Location) String() string {
	u := url.URL{Scheme: l.Scheme, Host: l.Host, Path: l.Path}
	if strings.Contains(l.Host, ":") {
		u.Host = "[" + l.Host + "]"
	}
	if l.Port != 0 {
		u.Host = net.JoinHostPort(l.Host, strconv.Itoa(l.Port))
	}
	switch {
	case l.Domain != "":
		u.User = url.User(l.Domain + ";" + l.User)
	case l.User != "":
		u.User = url.User(l.User)
	}
	q := url.Values{}
	if l.Version != "" {
		q.Set("version", l.Version)
	}
	if l.HostKey != "" {
		q.Set("host_key", l.HostKey)
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// Address is host and port, with the port of the scheme where none was named.
func (l Location) Address() string {
	port := l.Port
	if port == 0 {
		port = map[string]int{NFS: 2049, SMB: 445, SFTP: 22, HTTP: 80, HTTPS: 443}[l.Scheme]
	}
	return net.JoinHostPort(l.Host, strconv.Itoa(port))
}
