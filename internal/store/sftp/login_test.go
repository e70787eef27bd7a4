package sftp

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"doppel.live/internal/store"
	"doppel.live/internal/store/remote"
	"doppel.live/internal/store/storetest"
	"doppel.live/internal/store/storetest/sshd"
)

// otherServer is an SSH server of another make than OpenSSH, since a test
// cannot give users of the machine passwords: with the password "geheim", and
// SFTP by github.com/pkg/sftp. how is password or keyboard-interactive.
func otherServer(t *testing.T, how string) Options {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	right := func(user, password string) (*ssh.Permissions, error) {
		if user == "anna" && password == "geheim" {
			return nil, nil
		}
		return nil, errors.New("no")
	}
	config := &ssh.ServerConfig{}
	config.AddHostKey(signer)
	switch how {
	case "password":
		config.PasswordCallback = func(c ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
			return right(c.User(), string(password))
		}
	default:
		config.KeyboardInteractiveCallback = func(c ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			answers, err := ask("", "", []string{"Your name?", "Password: "}, []bool{true, false})
			if err != nil || answers[0] != "" {
				return nil, errors.New("the password was shown")
			}
			return right(c.User(), answers[1])
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serveSFTP(c, config)
		}
	}()
	return Options{Location: remote.Location{Scheme: remote.SFTP, Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, Path: t.TempDir(), HostKey: ssh.FingerprintSHA256(signer.PublicKey())},
		Credentials: remote.Credentials{User: "anna", Password: remote.NewSecret("geheim")}}
}

func serveSFTP(c net.Conn, config *ssh.ServerConfig) {
	defer c.Close()
	conn, channels, requests, err := ssh.NewServerConn(c, config)
	if err != nil {
		return
	}
	defer conn.Close()
	go ssh.DiscardRequests(requests)
	for request := range channels {
		channel, requests, err := request.Accept()
		if err != nil {
			return
		}
		go func() {
			for r := range requests {
				_ = r.Reply(r.Type == "subsystem", nil)
			}
		}()
		if s, err := sftp.NewServer(channel); err == nil {
			go func() { _ = s.Serve(); channel.Close() }()
		}
	}
}

func TestPasswords(t *testing.T) {
	for _, how := range []string{"password", "keyboard-interactive"} {
		t.Run(how, func(t *testing.T) {
			o := otherServer(t, how)
			data := noise(3<<20, 1)
			s := open(t, o)
			if err := store.WriteFile(s, "a", data, 0o600); err != nil {
				t.Fatal(err)
			}
			if got, err := store.ReadFile(s, "a", 1<<30); err != nil || !bytes.Equal(got, data) {
				t.Fatal(err)
			}
			o.Credentials.Password = remote.NewSecret("falsch")
			_, err := Open(context.Background(), o)
			wantReason(t, err, remote.Denied)
		})
	}
}

// A server of another make, without fsync.
func TestAnotherServer(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, otherServer(t, "password")) })
}

func TestKeyWithPassphraseAndAgent(t *testing.T) {
	server := sshd.Start(t)
	raw, err := ssh.ParseRawPrivateKey([]byte(server.Key))
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(*raw.(*ed25519.PrivateKey), "", []byte("geheim"))
	if err != nil {
		t.Fatal(err)
	}
	o := options(server, t.TempDir())
	o.Credentials.Key = remote.NewSecret(string(pem.EncodeToMemory(block)))
	_, err = Open(context.Background(), o)
	wantReason(t, err, remote.Denied)
	o.Credentials.Passphrase = remote.NewSecret("falsch")
	_, err = Open(context.Background(), o)
	wantReason(t, err, remote.Denied)
	o.Credentials.Passphrase = remote.NewSecret("geheim")
	open(t, o)

	socket := filepath.Join(t.TempDir(), "agent")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: raw}); err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(ring, c) }()
		}
	}()
	o.Credentials, o.Agent = remote.Credentials{}, socket
	open(t, o)
}

func TestFullPlace(t *testing.T) {
	server := sshd.Start(t)
	folder := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder).CombinedOutput(); err != nil {
		t.Skipf("needs root to mount: %v %s", err, out)
	}
	s := open(t, options(server, folder))
	defer func() { // the server holds it
		s.Close()
		server.Kill()
		_ = exec.Command("umount", folder).Run()
	}()
	if free, err := s.Free(); err != nil || free < 3<<20 || free > 4<<20 {
		t.Errorf("free %d, %v", free, err)
	}
	if err := store.WriteFile(s, "a", noise(8<<20, 1), 0o600); !errors.Is(err, store.ErrFull) || !strings.Contains(err.Error(), "a") {
		t.Errorf("%v", err)
	}
	if list, _ := os.ReadDir(folder); len(list) != 0 {
		t.Errorf("left behind: %v", list)
	}
	if out, err := exec.Command("mount", "-o", "remount,ro", folder).CombinedOutput(); err != nil {
		t.Skipf("cannot be mounted read-only: %v %s", err, out)
	}
	if err := store.WriteFile(s, "a", nil, 0o600); !errors.Is(err, store.ErrReadOnly) || !s.ReadOnly() {
		t.Errorf("read-only: %v", err)
	}
}
