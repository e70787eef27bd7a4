package sftp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"sync"
	"time"

	"github.com/pkg/sftp"

	"doppel.live/internal/store/remote"
)

// do runs op on a connection, on another one when that is lost, until it is
// done or answered with an error. So op may be run again after the server has
// done it and could not say so any more.
func (s *Store) do(ctx context.Context, op func(c *connection) error) error {
	for try := 1; ; try++ {
		c, err := s.connected(ctx)
		if err != nil {
			return err
		}
		err = op(c)
		if err == nil || !c.lost(err) {
			c.useful.Store(true)
			return err
		}
		if s.drop(c); try == maxTries {
			return s.explain(fmt.Errorf("the connection was lost %d times over one thing: %w", try, err))
		}
	}
}

// maxTries is how many connections one operation may cost: each of them was
// made anew, so the server is not away.
const maxTries = 100

// A connection begins with few packets of data under way, and each that is
// answered lets one more go. So one that does not live long brings something
// across nevertheless, instead of the same first packets again and again.
const (
	firstPackets = 2
	mostPackets  = 64
)

// packet runs op, which sends or takes one packet of data, when it is its turn.
func (c *connection) packet(ctx context.Context, op func() error) error {
	select {
	case <-c.turns:
	case <-c.done:
		return sftp.ErrSSHFxConnectionLost
	case <-ctx.Done():
		return ctx.Err()
	}
	err := op()
	c.turns <- struct{}{}
	if err == nil && c.packets.Add(1) <= mostPackets-firstPackets {
		c.turns <- struct{}{}
	}
	return err
}

// lost tells whether an error means that the connection is no more.
func (c *connection) lost(err error) bool {
	var answer *sftp.StatusError
	var network *net.OpError
	switch {
	case errors.Is(err, sftp.ErrSSHFxConnectionLost), errors.Is(err, sftp.ErrSSHFxNoConnection), errors.Is(err, net.ErrClosed), errors.As(err, &network),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, os.ErrDeadlineExceeded):
		return true
	case errors.As(err, &answer), errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return false
	}
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// drop takes a connection for lost.
func (s *Store) drop(c *connection) {
	c.close()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now != c {
		return
	}
	s.now = nil
	if s.useless++; c.useful.Load() {
		s.useless = 0
	}
}

// connected gives the connection, and waits for another one when it is lost.
func (s *Store) connected(ctx context.Context) (*connection, error) {
	for {
		s.mu.Lock()
		c, err := s.now, s.final
		if c != nil || err != nil {
			s.mu.Unlock()
			return c, err
		}
		if s.coming == nil {
			s.coming = make(chan struct{})
			s.dialers.Go(s.reconnect)
		}
		coming := s.coming
		s.mu.Unlock()
		select {
		case <-coming:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// reconnect makes another connection, with pauses that get longer, until the
// server was away for too long. What it gives up is final.
func (s *Store) reconnect() {
	s.tell("the connection to %s was lost: trying again for %s", s.opts.Location.Host, minutes(s.opts.Away))
	ctx, cancel := context.WithTimeout(s.ctx, s.opts.Away)
	defer cancel()
	pause := 100 * time.Millisecond
	for range min(s.useless, 6) { // it lets us in and serves nothing
		pause *= 2
	}
	var last *remote.Error
	for first := true; ; first = false {
		if !first || s.useless > 0 {
			select {
			case <-ctx.Done():
			case <-time.After(pause):
				pause = min(2*pause, 5*time.Second)
			}
		}
		c, err := s.dial(ctx)
		if err == nil {
			s.tell("the connection to %s is there again", s.opts.Location.Host)
			s.arrived(c, nil)
			return
		}
		explained := s.explain(err)
		if last == nil || ctx.Err() == nil { // not that we gave up waiting
			last = explained
		}
		switch {
		case explained.Reason == remote.Denied, explained.Reason == remote.NewKey, explained.Reason == remote.OtherKey:
			s.arrived(nil, explained)
			return
		case s.ctx.Err() != nil:
			s.arrived(nil, s.ctx.Err())
			return
		}
		if ctx.Err() != nil {
			last.What = fmt.Sprintf("%s was away for %s: %s", s.opts.Location.Host, minutes(s.opts.Away), last.What)
			last.Next = "Start the job again when the server is back. " + last.Next
			s.arrived(nil, last)
			return
		}
	}
}

// arrived ends the waiting for a connection.
func (s *Store) arrived(c *connection, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.final != nil && c != nil: // closed meanwhile
		c.close()
	case err != nil:
		s.final = err
	default:
		s.now = c
	}
	close(s.coming)
	s.coming = nil
}

func minutes(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	return fmt.Sprintf("%.0f minutes", d.Minutes())
}

// handle is a file at the server that stays open over several connections.
type handle struct {
	open func(c *connection) (*sftp.File, error)

	mu   sync.Mutex
	file *sftp.File
	on   *connection
}

// at gives the file on a connection.
func (h *handle) at(c *connection) (*sftp.File, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.on == c && h.file != nil {
		return h.file, nil
	}
	file, err := h.open(c)
	if err != nil {
		return nil, err
	}
	h.file, h.on = file, c
	return file, nil
}

// close closes the file if it is open on that connection.
func (h *handle) close(c *connection) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	file, on := h.file, h.on
	h.file = nil
	if file == nil || on != c {
		return nil
	}
	return file.Close()
}
