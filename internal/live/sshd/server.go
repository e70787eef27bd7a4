// Package sshd lets a person with a known key work at the live system by ssh:
// a session without a command shows what the server was given for that, the
// imaging menu, a session with one runs it in a shell, scp and sftp take and
// bring files. Only root, only keys, a
// host key that is new at every start. It forwards no ports, no agent and no
// windows, and knows no passwords.
//
// The protocol is that of golang.org/x/crypto/ssh; the requests of a session
// are those of RFC 4254, section 6.
package sshd

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// Server is one that answers on a listener.
type Server struct {
	Keys  []ssh.PublicKey // of those who may come in
	Host  ssh.Signer      // the server's own
	Shell []string        // program of a session without a command
	// Log takes a line for each person who comes, goes or is sent away; nil is
	// none. It is called from several goroutines.
	Log func(format string, args ...any)
}

const (
	handshakeTime = 30 * time.Second
	maxGuests     = 32 // connections at once
	// What is running when the server ends may tell how that ended for this long,
	// and the guest hang up for that long. It is less than what the first process
	// gives all programs before it kills them.
	lastWords = 5 * time.Second
	farewell  = time.Second
)

// NewHostKey makes a host key.
func NewHostKey() (ssh.Signer, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return ssh.NewSignerFromKey(key)
}

// ParseKeys reads lines as in authorized_keys (sshd(8)), without options: what
// they restrict could not be kept here.
func ParseKeys(text []byte) ([]ssh.PublicKey, error) {
	var keys []ssh.PublicKey
	number := 0
	for line := range bytes.Lines(text) {
		number++
		if line = bytes.TrimSpace(line); len(line) == 0 || line[0] == '#' {
			continue
		}
		key, _, options, _, err := ssh.ParseAuthorizedKey(line)
		switch {
		case err != nil:
			return nil, fmt.Errorf("line %d is no public key such as ssh-ed25519 AAAA…", number)
		case len(options) > 0:
			return nil, fmt.Errorf("line %d has options, which are not known here: give the key alone", number)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("there is no public key in it")
	}
	return keys, nil
}

func (s *Server) log(format string, args ...any) {
	if s.Log != nil {
		s.Log(format, args...)
	}
}

// Serve answers until ctx ends. Nobody comes in from then on; sessions that end
// within seconds, as those do whose programs are ended too, still tell how, the
// others are cut off, and waited for.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	var guests sync.WaitGroup
	defer guests.Wait()
	defer cancel()
	seats := make(chan struct{}, maxGuests)
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			var temporary interface{ Temporary() bool }
			if errors.As(err, &temporary) && temporary.Temporary() { // no descriptors left, a guest gone again
				time.Sleep(100 * time.Millisecond)
				continue
			}
			return err
		}
		select {
		case seats <- struct{}{}:
		default:
			conn.Close()
			continue
		}
		guests.Go(func() {
			defer func() { <-seats }()
			s.receive(ctx, conn)
		})
	}
}

// receive serves one connection.
func (s *Server) receive(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(handshakeTime))
	early := context.AfterFunc(ctx, func() { conn.Close() })
	c, channels, requests, err := ssh.NewServerConn(conn, s.config())
	if early(); err != nil {
		s.log("%s was sent away: %v", conn.RemoteAddr(), err)
		return
	}
	_ = conn.SetDeadline(time.Time{})
	s.log("%s came in with the key %s", conn.RemoteAddr(), c.Permissions.Extensions["key"])
	go ssh.DiscardRequests(requests) // keep-alive questions get the answer no, which is one
	var running sync.WaitGroup
	env := []string{"SSH_CONNECTION=" + addresses(conn)}
	if gone := s.sessions(ctx, channels, &running, env); !gone {
		part(channels, &running)
		conn.Close()
	}
	running.Wait()
	s.log("%s is gone", conn.RemoteAddr())
}

// sessions begins what a guest asks for until the guest is gone or ctx ends.
func (s *Server) sessions(ctx context.Context, channels <-chan ssh.NewChannel, running *sync.WaitGroup, env []string) (gone bool) {
	for {
		var n ssh.NewChannel
		select {
		case <-ctx.Done():
			return false
		case n = <-channels:
		}
		if n == nil {
			return true
		}
		if n.ChannelType() != "session" {
			_ = n.Reject(ssh.UnknownChannelType, "only sessions are known here")
			continue
		}
		channel, asked, err := n.Accept()
		if err != nil {
			continue
		}
		x := &session{server: s, channel: channel, env: slices.Clone(env)}
		running.Go(func() { x.serve(asked) })
	}
}

// part lets the sessions of a guest end and the guest hang up, in that order:
// who hangs up first may take away what the other has not read yet.
func part(channels <-chan ssh.NewChannel, running *sync.WaitGroup) {
	hungUp, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(hungUp)
		for n := range channels {
			_ = n.Reject(ssh.Prohibited, "the server is ending")
		}
	}()
	go func() {
		defer close(ended)
		running.Wait()
	}()
	select {
	case <-ended:
	case <-time.After(lastWords):
	}
	select {
	case <-hungUp:
	case <-time.After(farewell):
	}
}

// addresses is what SSH_CONNECTION holds: address and port of both sides.
func addresses(conn net.Conn) string {
	split := func(a net.Addr) string {
		host, port, _ := net.SplitHostPort(a.String())
		return host + " " + port
	}
	return split(conn.RemoteAddr()) + " " + split(conn.LocalAddr())
}

func (s *Server) config() *ssh.ServerConfig {
	c := &ssh.ServerConfig{
		ServerVersion: "SSH-2.0-Doppel",
		MaxAuthTries:  8, // an agent offers its keys one after the other
		PublicKeyCallback: func(who ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if who.User() != "root" {
				return nil, fmt.Errorf("%q is not root", who.User())
			}
			for _, k := range s.Keys {
				if bytes.Equal(k.Marshal(), key.Marshal()) {
					return &ssh.Permissions{Extensions: map[string]string{"key": ssh.FingerprintSHA256(key)}}, nil
				}
			}
			return nil, errors.New("unknown key " + ssh.FingerprintSHA256(key))
		},
	}
	c.AddHostKey(s.Host)
	return c
}
