// Package sftp keeps the objects of a store as files below a folder of an SSH
// server, over SFTP version 3 (draft-ietf-secsh-filexfer-02) and the
// extensions that OpenSSH documents in its file PROTOCOL.
//
// A connection that is lost is made anew for up to two minutes, and what was
// going on goes on: an object being written from what the server acknowledged,
// one being read where it was. The names of folders are not made durable, since
// the protocol has no word for it, and what the server puts in the way of a
// symbolic link between a look and the opening is not seen.
//
// It has no shell, no jump hosts, no host certificates of its own, and no
// configuration of OpenSSH but known-hosts files.
package sftp

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"
	"time"

	"doppel.live/internal/store"
	"doppel.live/internal/store/remote"
)

// Options say how a server is reached. The zero value of all that is not the
// location is a good default.
type Options struct {
	Location    remote.Location
	Credentials remote.Credentials
	Keys        HostKeys
	Agent       string // path of the socket of an ssh-agent; "" is none
	// Tell is told that the connection was lost and is there again, from a
	// goroutine of the store. It may be nil.
	Tell func(text string)

	Away      time.Duration // that a server may be away; 0 is two minutes
	Silence   time.Duration // after which a peer is taken for dead; 0 is 25 s
	Handshake time.Duration // that may take to reach it; 0 is 20 s
}

func (o *Options) defaults() {
	for value, or := range map[*time.Duration]time.Duration{&o.Away: 2 * time.Minute, &o.Silence: 25 * time.Second, &o.Handshake: 20 * time.Second} {
		if *value == 0 {
			*value = or
		}
	}
}

// Store is a folder of an SSH server.
type Store struct {
	opts   Options
	ctx    context.Context // ends waiting for the server
	cancel context.CancelFunc
	root   string // path of the folder

	mu      sync.Mutex
	now     *connection   // nil: lost
	coming  chan struct{} // closed when a connection was made or given up; nil: nobody makes one
	final   error         // why there will be no other connection
	useless int           // connections in a row that served nothing
	family  int           // of host key algorithms that the pinned key was found in, from 1; 0: not known
	dialers sync.WaitGroup

	look     sync.Once
	readOnly bool
}

var (
	_ store.Store   = (*Store)(nil)
	_ store.Sweeper = (*Store)(nil)
)

// Open reaches the server and looks at the folder. When ctx ends nobody waits
// for the server any more, but what the connection that is there can do, such
// as removing what was half written, it still does. Errors are *remote.Error.
func Open(ctx context.Context, opts Options) (*Store, error) {
	opts.defaults()
	s := &Store{opts: opts}
	s.ctx, s.cancel = context.WithCancel(ctx)
	c, err := s.dial(s.ctx)
	if err != nil {
		s.cancel()
		return nil, s.explain(err)
	}
	s.now = c
	return s, nil
}

// Close ends the connection.
func (s *Store) Close() error {
	s.cancel()
	s.mu.Lock()
	c := s.now
	s.now, s.final = nil, fs.ErrClosed
	s.mu.Unlock()
	s.dialers.Wait()
	if c != nil {
		c.close()
		c.workers.Wait()
	}
	return nil
}

// path gives the path of a name at the server.
func (s *Store) path(name string) string {
	if name == "." {
		return s.root
	}
	return path.Join(s.root, name)
}

// folder is what to ask the server for.
func (s *Store) folder() string {
	p := s.opts.Location.Path
	if rest, ok := strings.CutPrefix(p+"/", "/~/"); ok { // below where a login begins
		return path.Join(".", rest)
	}
	return p
}

func (s *Store) tell(format string, args ...any) {
	if s.opts.Tell != nil {
		s.opts.Tell(fmt.Sprintf(format, args...))
	}
}
