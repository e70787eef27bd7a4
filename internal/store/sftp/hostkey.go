package sftp

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"doppel.live/internal/store/remote"
)

// HostKeys say which keys of servers were agreed to. A fingerprint in the
// location or in the credentials is asked first and alone.
type HostKeys struct {
	Files  []string // known-hosts files of OpenSSH's format (sshd(8)); those that are absent or cannot be read are skipped
	Record string   // the one that a key is added to once it was agreed to; "" is none
	// Consent asks a person about a key that nobody has agreed to yet. nil refuses.
	Consent func(k Key) bool
}

// Key is what a server showed.
type Key struct {
	Server      string // as in a known-hosts file
	Kind        string // such as ssh-ed25519
	Fingerprint string // "SHA256:…"
}

// families are the algorithms of host keys, by the kind of key, the best first.
func families() [][]string {
	return [][]string{
		{ssh.KeyAlgoED25519},
		{ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521},
		{ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512},
	}
}

// keyError is a host key that was not agreed to.
type keyError struct {
	reason remote.Reason
	key    Key
	why    string
}

func (e *keyError) Error() string { return e.why }

// pin is the fingerprint that the server must show, or "".
func (o Options) pin() string {
	if o.Credentials.HostKey != "" {
		return o.Credentials.HostKey
	}
	return o.Location.HostKey
}

// verifier gives what checks the key of a server, and the algorithms that are
// asked of it so that it shows the key that is known; nil is all.
func (o Options) verifier() (ssh.HostKeyCallback, []string, error) {
	if pin := o.pin(); pin != "" {
		return func(host string, _ net.Addr, k ssh.PublicKey) error {
			if shown := ssh.FingerprintSHA256(k); shown != strings.TrimRight(pin, "=") {
				return &keyError{remote.OtherKey, keyOf(host, k), "the server shows a key that is not the one agreed to"}
			}
			return nil
		}, nil, nil
	}
	known, err := o.Keys.known()
	if err != nil {
		return nil, nil, err
	}
	check := func(host string, addr net.Addr, k ssh.PublicKey) error { return o.Keys.check(known, host, addr, k) }
	return check, algorithms(known, o.Location.Address()), nil
}

func keyOf(host string, k ssh.PublicKey) Key {
	return Key{Server: knownhosts.Normalize(host), Kind: k.Type(), Fingerprint: ssh.FingerprintSHA256(k)}
}

// known reads the known-hosts files. One of others that cannot be read, for
// it has a line of a kind that is not known here, is left out: its servers are
// asked about then.
func (h HostKeys) known() (ssh.HostKeyCallback, error) {
	var files []string
	if _, err := os.Stat(h.Record); err == nil {
		files = append(files, h.Record)
	}
	for _, f := range h.Files {
		if _, err := knownhosts.New(f); err == nil {
			files = append(files, f)
		}
	}
	known, err := knownhosts.New(files...)
	if err != nil {
		return nil, fmt.Errorf("known hosts: %w", err)
	}
	return known, nil
}

// anywhere is an address that no known-hosts file names: those files may name
// servers by name alone.
type anywhere struct{}

func (anywhere) Network() string { return "tcp" }
func (anywhere) String() string  { return "0.0.0.0:0" }

// algorithms are those of the keys that are known of a server; nil where none is.
func algorithms(known ssh.HostKeyCallback, address string) []string {
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil
	}
	none, err := ssh.NewPublicKey(public)
	if err != nil {
		return nil
	}
	var missed *knownhosts.KeyError
	if !errors.As(known(address, anywhere{}, none), &missed) {
		return nil
	}
	var list []string
	for _, w := range missed.Want {
		list = append(list, algorithmsOf(w.Key.Type())...)
	}
	return list
}

// algorithmsOf are the algorithms that show a key of a kind.
func algorithmsOf(kind string) []string {
	for _, family := range families() {
		if slices.Contains(family, kind) || kind == ssh.KeyAlgoRSA && family[0] == ssh.KeyAlgoRSASHA256 {
			return family
		}
	}
	return []string{kind}
}

// check holds a key against what is known, and asks about a new one.
func (h HostKeys) check(known ssh.HostKeyCallback, host string, addr net.Addr, k ssh.PublicKey) error {
	err := known(host, addr, k)
	var missed *knownhosts.KeyError
	var revoked *knownhosts.RevokedError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &revoked):
		return &keyError{remote.OtherKey, keyOf(host, k), "the server shows a key that was revoked"}
	case !errors.As(err, &missed):
		return err
	case len(missed.Want) > 0:
		return &keyError{remote.OtherKey, keyOf(host, k), fmt.Sprintf("the server shows a key that is not the one agreed to in %s", missed.Want[0].Filename)}
	case h.Consent == nil || !h.Consent(keyOf(host, k)):
		return &keyError{remote.NewKey, keyOf(host, k), "nobody has agreed to the key of this server yet"}
	}
	return h.record(host, k)
}

// record adds a key to the file of those agreed to.
func (h HostKeys) record(host string, k ssh.PublicKey) error {
	if h.Record == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(h.Record), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	f, err := os.OpenFile(h.Record, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(knownhosts.Line([]string{knownhosts.Normalize(host)}, k) + "\n")
	return errors.Join(err, f.Close())
}
