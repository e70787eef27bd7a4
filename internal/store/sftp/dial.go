package sftp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os/user"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// connection is one connection to the server.
type connection struct {
	ssh     *ssh.Client
	sftp    *sftp.Client
	done    chan struct{} // closed when it is lost
	useful  atomic.Bool   // something was answered
	turns   chan struct{} // one for each packet that may be under way
	packets atomic.Int64  // that were answered
	lose    sync.Once
	workers sync.WaitGroup
}

// close ends the connection, whatever waits for it.
func (c *connection) close() {
	c.lose.Do(func() {
		close(c.done)
		_ = c.ssh.Close()
	})
}

// heard is a network connection that notes when it heard of its peer.
type heard struct {
	net.Conn
	last atomic.Int64 // nanoseconds since 1970
}

func (h *heard) Read(p []byte) (int, error) {
	n, err := h.Conn.Read(p)
	h.last.Store(time.Now().UnixNano())
	return n, err
}

func (h *heard) silent() time.Duration { return time.Since(time.Unix(0, h.last.Load())) }

// dial makes a connection and looks at the folder.
func (s *Store) dial(ctx context.Context) (*connection, error) {
	if s.opts.pin() == "" {
		return s.dialWith(ctx, nil)
	}
	// The server must be asked for the kind of key that was pinned, and a
	// fingerprint does not tell which that is.
	var other error
	for i, family := range families() {
		if s.family != 0 && s.family != i+1 {
			continue
		}
		c, err := s.dialWith(ctx, family)
		var key *keyError
		var none *ssh.AlgorithmNegotiationError
		if err == nil {
			s.family = i + 1
		}
		switch {
		case errors.As(err, &key):
			other = err
		case !errors.As(err, &none):
			return c, err
		default:
			other = cmp.Or(other, err)
		}
	}
	return nil, other
}

// dialWith makes a connection, with those algorithms of host keys or those
// that fit what is known.
func (s *Store) dialWith(ctx context.Context, hostKeys []string) (_ *connection, err error) {
	check, known, err := s.opts.verifier()
	if err != nil {
		return nil, err
	}
	if hostKeys == nil {
		hostKeys = known
	}
	auth, release, err := s.auth()
	defer release()
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{Timeout: s.opts.Handshake}
	raw, err := dialer.DialContext(ctx, "tcp", s.opts.Location.Address())
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { raw.Close() })()
	// Not a deadline of the connection: a person may be asked about the key.
	hurry := time.AfterFunc(s.opts.Handshake, func() { raw.Close() })
	defer hurry.Stop()
	asking := func(host string, addr net.Addr, k ssh.PublicKey) error {
		hurry.Stop()
		defer hurry.Reset(s.opts.Handshake)
		return check(host, addr, k)
	}
	h := &heard{Conn: raw}
	h.last.Store(time.Now().UnixNano())
	sc, channels, requests, err := ssh.NewClientConn(h, s.opts.Location.Address(), &ssh.ClientConfig{
		User: s.opts.user(), Auth: auth, HostKeyCallback: asking, HostKeyAlgorithms: hostKeys,
	})
	if err != nil {
		raw.Close()
		return nil, err
	}
	return s.begin(ssh.NewClient(sc, channels, requests), h)
}

// begin starts SFTP on a connection.
func (s *Store) begin(client *ssh.Client, h *heard) (*connection, error) {
	packet := ordinaryPacket
	if strings.HasPrefix(string(client.ServerVersion()), "SSH-2.0-OpenSSH_") {
		packet = largePacket
	}
	sc, err := sftp.NewClient(client, sftp.MaxPacketUnchecked(packet))
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("%w: %w", errNoSFTP, err)
	}
	c := &connection{ssh: client, sftp: sc, done: make(chan struct{}), turns: make(chan struct{}, mostPackets)}
	for range firstPackets {
		c.turns <- struct{}{}
	}
	if err := s.enter(c); err != nil {
		c.close()
		return nil, err
	}
	c.workers.Go(func() { c.watch(h, s.opts.Silence) })
	return c, nil
}

// Bytes of data in one packet: what every server takes, and what OpenSSH does
// (its messages are 256 KiB at most).
const (
	ordinaryPacket = 32 << 10
	largePacket    = 255 << 10
)

var errNoSFTP = errors.New("the server has no SFTP")

// enter finds the folder of the store.
func (s *Store) enter(c *connection) error {
	root, err := c.sftp.RealPath(s.folder())
	if err != nil {
		return &folderError{s.opts.Location.Path, err}
	}
	info, err := c.sftp.Stat(root)
	if err == nil && !info.IsDir() {
		err = errNotFolder
	}
	if err != nil {
		return &folderError{s.opts.Location.Path, err}
	}
	if s.root == "" {
		s.root = root
	}
	return nil
}

// watch asks the server for a sign of life, and loses the connection when none
// comes. What it sends in the meantime is one as well: on a slow line the
// answer stands behind much else.
func (c *connection) watch(h *heard, silence time.Duration) {
	ended := make(chan struct{})
	c.workers.Go(func() {
		_ = c.ssh.Wait()
		close(ended)
	})
	defer func() { <-ended }()
	defer c.close()
	tick := time.NewTicker(silence / 5)
	defer tick.Stop()
	answers := make(chan error, 1)
	asked := false
	for {
		select {
		case <-c.done:
			return
		case <-ended:
			return
		case err := <-answers:
			if asked = false; err != nil {
				return
			}
		case <-tick.C:
			if asked && h.silent() > silence {
				return
			}
			if !asked {
				asked = true
				c.workers.Go(func() {
					_, _, err := c.ssh.SendRequest("keepalive@openssh.com", true, nil)
					answers <- err
				})
			}
		}
	}
}

// user is who logs in.
func (o Options) user() string {
	if name := cmp.Or(o.Credentials.User, o.Location.User); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "root"
}

// auth are the ways to log in that the credentials allow.
func (s *Store) auth() (methods []ssh.AuthMethod, release func(), err error) {
	release = func() {}
	c := s.opts.Credentials
	var signers []ssh.Signer
	if !c.Key.Empty() {
		signer, err := parseKey(c.Key.Reveal(), c.Passphrase.Reveal())
		if err != nil {
			return nil, release, err
		}
		signers = append(signers, signer)
	}
	if s.opts.Agent != "" {
		if conn, err := net.DialTimeout("unix", s.opts.Agent, time.Second); err == nil {
			release = func() { conn.Close() }
			if more, err := agent.NewClient(conn).Signers(); err == nil {
				signers = append(signers, more...)
			}
		}
	}
	if len(signers) > 0 {
		methods = append(methods, ssh.PublicKeys(signers...))
	}
	if password := c.Password.Reveal(); password != "" {
		methods = append(methods, ssh.Password(password), ssh.KeyboardInteractive(
			func(_, _ string, questions []string, echos []bool) ([]string, error) {
				answers := make([]string, len(questions))
				for i := range questions {
					if !echos[i] { // what is shown while it is typed is no password
						answers[i] = password
					}
				}
				return answers, nil
			}))
	}
	return methods, release, nil
}

// errKey is a private key that cannot be used. Its text quotes nothing of it.
var errKey = errors.New("the private key cannot be used")

func parseKey(text, passphrase string) (ssh.Signer, error) {
	var missing *ssh.PassphraseMissingError
	signer, err := ssh.ParsePrivateKey([]byte(text))
	if errors.As(err, &missing) && passphrase == "" {
		return nil, fmt.Errorf("%w: it has a passphrase, and none was given", errKey)
	}
	if errors.As(err, &missing) {
		if signer, err = ssh.ParsePrivateKeyWithPassphrase([]byte(text), []byte(passphrase)); err != nil {
			return nil, fmt.Errorf("%w: the passphrase does not fit it", errKey)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: it is neither PEM nor OpenSSH's format", errKey)
	}
	return signer, nil
}
