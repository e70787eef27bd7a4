package sftp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"doppel.live/internal/store"
	"doppel.live/internal/store/remote"
)

var errNotFolder = errors.New("it is no folder")

// folderError is a folder of the store that cannot be used.
type folderError struct {
	path string
	err  error
}

func (e *folderError) Error() string { return e.err.Error() }
func (e *folderError) Unwrap() error { return e.err }

// explain says why the server could not be reached and what to do.
func (s *Store) explain(err error) *remote.Error {
	e := explain(err, s.opts.Location.Host, s.opts.user())
	if e.Reason == remote.Denied && len(s.offered()) == 0 {
		e.Next = "Give a password, a private key in a credentials file, or start an ssh-agent."
	}
	return e
}

// offered names what there is to log in with.
func (s *Store) offered() (list []string) {
	c := s.opts.Credentials
	for name, there := range map[string]bool{"key": !c.Key.Empty(), "password": !c.Password.Empty(), "agent": s.opts.Agent != ""} {
		if there {
			list = append(list, name)
		}
	}
	return list
}

func explain(err error, host, user string) *remote.Error {
	var known *remote.Error
	var key *keyError
	var folder *folderError
	var algorithms *ssh.AlgorithmNegotiationError
	if errors.As(err, &known) {
		return known
	}
	if e := remote.Unreachable(err, host); e != nil {
		return e
	}
	switch {
	case errors.As(err, &key):
		return explainKey(key, host)
	case errors.As(err, &folder):
		return explainFolder(folder, host)
	case errors.Is(err, errKey):
		return &remote.Error{Reason: remote.Denied, What: err.Error(), Next: "Correct the key and its passphrase in the credentials."}
	case strings.Contains(err.Error(), "unable to authenticate"):
		return &remote.Error{Reason: remote.Denied, What: fmt.Sprintf("%s does not let %s in", host, user),
			Next: "Check the user's name, and the password or the key."}
	case errors.Is(err, errNoSFTP):
		return &remote.Error{Reason: remote.Refused, What: host + " has no SFTP", Next: "Switch on the subsystem sftp in the server's sshd_config.", Err: err}
	case errors.As(err, &algorithms):
		return &remote.Error{Reason: remote.Broken, What: host + " and this program have no common cipher or kind of key", Next: "Update the server, or pin another of its keys.", Err: err}
	case strings.Contains(err.Error(), "handshake failed"):
		return &remote.Error{Reason: remote.Broken, What: host + " gives no answer that is SSH", Next: "Check the port.", Err: err}
	}
	return &remote.Error{Reason: remote.Broken, What: host + " cannot be used", Next: "Look at the log of the server.", Err: err}
}

func explainKey(e *keyError, host string) *remote.Error {
	out := &remote.Error{Reason: e.reason, Fingerprint: e.key.Fingerprint, KeyType: e.key.Kind,
		What: fmt.Sprintf("%s: %s (%s %s)", host, e.why, e.key.Kind, e.key.Fingerprint)}
	if e.reason == remote.NewKey {
		out.Next = fmt.Sprintf("Compare it with what ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub says at the server, then name it: ?host_key=%s behind the URL, or host_key in the credentials.", e.key.Fingerprint)
	} else {
		out.Next = "Somebody may stand between this machine and the server. If the server was set up anew, compare its key there, and put the new one where the old one was agreed to."
	}
	return out
}

func explainFolder(e *folderError, host string) *remote.Error {
	what := fmt.Sprintf("%s on %s", e.path, host)
	switch {
	case errors.Is(e.err, fs.ErrNotExist):
		return &remote.Error{Reason: remote.NoFolder, What: "there is no folder " + what, Next: "Make it at the server, or name another."}
	case errors.Is(e.err, errNotFolder):
		return &remote.Error{Reason: remote.NoFolder, What: what + " is no folder", Next: "Name a folder."}
	case errors.Is(e.err, fs.ErrPermission):
		return &remote.Error{Reason: remote.Denied, What: "the user may not open " + what, Next: "Give the user the right to it, or take another user."}
	}
	return &remote.Error{Reason: remote.Broken, What: what + " cannot be opened", Next: "Look at the log of the server.", Err: e.err}
}

// checked is an error of an operation with the store's sentinels for what
// callers act on. SFTP says "failure" for a full disk; the disk is looked at.
func (s *Store) checked(c *connection, name string, err error) error {
	var answer *sftp.StatusError
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("%s: %w", name, store.ErrFull)
	case !errors.As(err, &answer):
		return fmt.Errorf("%s: %w", name, err)
	}
	if room, locked, known := s.room(c); known {
		switch {
		case locked:
			return fmt.Errorf("%s: %w: %w", name, store.ErrReadOnly, err)
		case room < fullBelow:
			return fmt.Errorf("%s: %w: %w", name, store.ErrFull, err)
		}
	}
	return fmt.Errorf("%s: the server could not do it (a quota, or a failing disk?): %w", name, err)
}

// fullBelow is the room, in bytes, below which a failure is that of a full disk.
const fullBelow = 1 << 20

// denied is a refusal to write: the place is one for reading.
func denied(name string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%s: %w: %w", name, store.ErrReadOnly, err)
	}
	return err
}
