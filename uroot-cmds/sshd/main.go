// Command sshd lets persons with a known key work at the live system by ssh:
//
//	sshd --authorized KEYS... [--listen ADDRESS]
//
// KEYS is a public key as in authorized_keys, or the file that has some: /path,
// boot:PATH on the medium that was started from, LABEL=NAME:PATH, http://… or
// https://…, with #sha256=HEX behind it where one content is meant. It may be
// given several times. ssh root@MACHINE shows the menu, ssh root@MACHINE COMMAND
// runs a command; there are no passwords and no other users. The host key is new
// at every start: its fingerprint is printed and kept in /run/doppel/ssh.
//
// The kernel command line starts it with doppel.ssh=KEYS. ADDRESS is :22 unless
// given. Exit status: 1 failed, 2 usage; it does not end by itself.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"time"

	"doppel.live/internal/live/fetch"
	"doppel.live/internal/live/place"
	"doppel.live/internal/live/sshd"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// stateFile tells the menu of the host key.
const stateFile = "/run/doppel/ssh"

func main() {
	// The first process sends SIGTERM and SIGHUP to all when the machine ends.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// list is an option that may be given several times.
type list []string

func (l *list) String() string { return strings.Join(*l, " ") }

// Set adds a value.
func (l *list) Set(text string) error {
	*l = append(*l, text)
	return nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("sshd", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var authorized list
	flags.Var(&authorized, "authorized", "a public `key`, or the file that has some")
	address := flags.String("listen", ":22", "where to listen")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if len(authorized) == 0 || flags.NArg() > 0 {
		fmt.Fprintln(stderr, "usage: sshd --authorized KEYS... [--listen ADDRESS]")
		return 2
	}
	if err := serve(ctx, authorized, *address, stdout); err != nil {
		fmt.Fprintf(stderr, "sshd: %v\n", err)
		return 1
	}
	return 0
}

func serve(ctx context.Context, authorized []string, address string, out io.Writer) error {
	log := func(format string, args ...any) {
		fmt.Fprintf(out, "%s "+format+"\n", append([]any{time.Now().UTC().Format(time.RFC3339)}, args...)...)
	}
	s := &sshd.Server{Shell: []string{"menu"}, Log: log}
	for _, text := range authorized {
		keys, err := keysOf(ctx, text)
		if err != nil {
			log("doppel.ssh: %v", err) // another one may work
			continue
		}
		s.Keys = append(s.Keys, keys...)
	}
	if len(s.Keys) == 0 {
		return fmt.Errorf("nobody may come in: there is no usable key")
	}
	var err error
	if s.Host, err = sshd.NewHostKey(); err != nil {
		return err
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	fingerprint := ssh.FingerprintSHA256(s.Host.PublicKey())
	log("%d keys may come in at %s; the host key is %s", len(s.Keys), l.Addr(), fingerprint)
	if err := os.WriteFile(stateFile, []byte(fingerprint+"\n"), 0o644); err != nil {
		log("the menu will not know: %v", err)
	}
	defer os.Remove(stateFile)
	return s.Serve(ctx, l)
}

const maxKeys = 256 << 10 // bytes of one file

// keysOf reads a key, or a file of keys. A file on a medium or a server that is
// not there yet is waited for.
func keysOf(ctx context.Context, text string) ([]ssh.PublicKey, error) {
	if strings.ContainsAny(text, " \t") {
		return sshd.ParseKeys([]byte(text))
	}
	ref, err := fetch.Parse(text)
	if err != nil {
		return nil, err
	}
	if ref.Open() {
		return nil, fmt.Errorf("%s comes by http and could be anybody's: use https, or pin it with #sha256=", text)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	system := fetch.System{Files: place.Live().ReadFile}
	for {
		data, err := system.Read(ctx, ref, maxKeys)
		if err == nil {
			keys, err := sshd.ParseKeys(data)
			if err != nil {
				err = fmt.Errorf("%s: %w", text, err)
			}
			return keys, err
		}
		if !ref.NeedsNetwork() {
			return nil, fmt.Errorf("%s: %w", text, err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%s: %w", text, err)
		case <-time.After(3 * time.Second): // the network is on its way
		}
	}
}
