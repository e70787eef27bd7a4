// Package open opens the places for images that are used by their URL: SFTP
// and HTTP(S). It adds to the back ends what a machine knows of servers: whose
// host keys were agreed to, and an ssh-agent. It mounts nothing; NFS and SMB
// are mounted by package live/place.
package open

import (
	"context"
	"os"
	"path/filepath"

	"doppel.live/internal/store"
	"doppel.live/internal/store/http"
	"doppel.live/internal/store/remote"
	"doppel.live/internal/store/sftp"
)

// Options are what is known besides the place itself. The zero value knows
// nothing and asks nobody.
type Options struct {
	Keys  sftp.HostKeys     // of SSH servers
	Agent string            // path of the socket of an ssh-agent; "" is none
	Tell  func(text string) // told of a server that is away and back; may be nil
}

// Default is what this machine knows: in the live system the host keys that
// were agreed to since it started; elsewhere those of the user, of OpenSSH and
// of ours; the ssh-agent that the environment names. Nobody is asked.
func Default() Options {
	o := Options{Agent: os.Getenv("SSH_AUTH_SOCK"), Keys: sftp.HostKeys{Record: liveKeys}}
	if _, err := os.Stat(liveMark); err == nil {
		return o
	}
	o.Keys = sftp.HostKeys{Files: []string{"/etc/ssh/ssh_known_hosts"}}
	if home, err := os.UserHomeDir(); err == nil {
		o.Keys.Files = append(o.Keys.Files, filepath.Join(home, ".ssh", "known_hosts"))
	}
	if config, err := os.UserConfigDir(); err == nil {
		o.Keys.Record = filepath.Join(config, "doppel", "known_hosts")
	}
	return o
}

const (
	liveKeys = "/run/doppel/known_hosts"
	liveMark = "/etc/doppel/build-id" // is there in the live system alone
)

// Store opens a place by what this machine knows; see Options.Store.
func Store(ctx context.Context, l remote.Location, cred remote.Credentials) (store.Store, error) {
	return Default().Store(ctx, l, cred)
}

// Store opens a place. The store is an io.Closer, too. When ctx ends nobody
// waits for the server any more. Errors are *remote.Error.
func (o Options) Store(ctx context.Context, l remote.Location, cred remote.Credentials) (store.Store, error) {
	switch l.Scheme {
	case remote.SFTP:
		s, err := sftp.Open(ctx, sftp.Options{Location: l, Credentials: cred, Keys: o.Keys, Agent: o.Agent, Tell: o.Tell})
		if err != nil {
			return nil, err
		}
		return s, nil
	case remote.HTTP, remote.HTTPS:
		s, err := http.Open(ctx, http.Options{Location: l, Credentials: cred, Tell: o.Tell})
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	return nil, &remote.Error{Reason: remote.BadName, What: "places of the kind " + l.Scheme + " are mounted, not opened", Next: "Choose the place first."}
}
