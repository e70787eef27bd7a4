// Command place chooses where images lie, in the live system.
//
//	place list [--json]                places on the disks of this machine
//	place use SPEC [OPTIONS] [--json]  use one for images instead of the former
//	place test SPEC [OPTIONS] [--json] say what use would find, and leave nothing behind
//	place status [--json]              the one in use
//	place release [--json]             give it up
//
// place --help explains SPEC and OPTIONS. Exit status: 0 done, 1 failed, 2 usage.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"doppel.live/internal/live/looking"
	"doppel.live/internal/live/modules"
	"doppel.live/internal/live/place"
	"doppel.live/internal/store/open"
	"doppel.live/internal/store/remote"
)

const usage = "usage: place list | use SPEC | test SPEC [--credentials FILE|-] [--wait TIME] | status | release   (each with --json)"

// help is what --help prints behind the usage.
const help = `Says where images are. use takes a place instead of the former one, test says
what use would find and leaves nothing behind, release gives it up.

SPEC is a device (/dev/sdb1), LABEL=x, UUID=x, boot for the medium that was
started from, or a URL:

  nfs://HOST[:PORT]/EXPORT[/FOLDER][?version=3|4]
  smb://[[DOMAIN;]USER@]HOST[:PORT]/SHARE[/FOLDER]   without a user as guest
  sftp://[USER@]HOST[:PORT]/FOLDER[?host_key=SHA256:...]
  http://HOST[:PORT]/FOLDER, https://...             reading only

Spaces and other special characters in it are written as %20 and so on. Disks,
NFS and SMB are mounted at /images. The others are remembered, for root alone,
in /run/doppel/place.json, where doppel finds them. A URL brings the network
up: by DHCP, unless it is up or ip= on the kernel command line says how.

  --credentials FILE  user and password as JSON, of which all may be left out:
                      {"user": "", "domain": "", "guest": false, "password": "",
                      "key": "", "passphrase": "", "host_key": ""}
                      FILE is - for the standard input, a path, or boot:PATH,
                      LABEL=x:PATH, UUID=x:PATH on a disk that is not mounted.
                      Never write a password into SPEC: every program sees it.
  --wait TIME         wait so long (30s) for a disk, the network or a server
                      that is still on its way
  --json              print JSON. A failure has "error", "next" and "reason":
                      bad-name, no-route, unknown-name, refused, denied,
                      no-folder, unknown-host-key, other-host-key, broken; the
                      two of keys have "fingerprint", of SSH also "key_type".
                      What is used but cannot be saved to has read-only or full.

Exit status: 0 done, 1 failed, 2 usage.
`

// startWait is how long a list waits for the drivers of what was there at the
// start of the live system.
const startWait = 20 * time.Second

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("place", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, usage, "\n\n", help) }
	asJSON := flags.Bool("json", false, "print JSON")
	wait := flags.Duration("wait", 0, "how long use waits for the place to appear")
	credentials := flags.String("credentials", "", "`FILE` with user and password as JSON; - is the standard input,\nboot:PATH or LABEL=x:PATH one on a disk")
	var words []string
	for rest := args; ; {
		if err := flags.Parse(rest); errors.Is(err, flag.ErrHelp) {
			return 0
		} else if err != nil {
			return 2
		}
		if flags.NArg() == 0 {
			break
		}
		words, rest = append(words, flags.Arg(0)), flags.Args()[1:]
	}
	c := command{system: place.System{LoadModule: loadModule, Network: bringUp, Open: open.Store}, json: *asJSON, in: stdin, out: stdout, err: stderr}
	switch verb := strings.Join(words, " "); {
	case verb == "list":
		return c.list()
	case verb == "status":
		return c.status()
	case verb == "release":
		return c.release()
	case len(words) == 2 && words[0] == "use":
		return c.use(words[1], *credentials, *wait, place.System.UseWhenThere)
	case len(words) == 2 && words[0] == "test":
		return c.use(words[1], *credentials, *wait, place.System.TestWhenThere)
	}
	fmt.Fprintln(stderr, usage)
	return 2
}

func loadModule(name string) error {
	l, err := modules.Open()
	if err != nil {
		return err
	}
	return l.Load(name)
}

type command struct {
	system   place.System
	json     bool
	in       io.Reader
	out, err io.Writer
	secrets  []remote.Secret // that stand in no answer
}

// answer is what use, test and release print under --json.
type answer struct {
	OK          bool          `json:"ok"`
	Spec        string        `json:"spec"` // without a secret
	Path        string        `json:"path"` // "" for what is not mounted
	Free        int64         `json:"free"` // bytes; -1: not known
	ReadOnly    bool          `json:"read_only"`
	Reason      remote.Reason `json:"reason,omitempty"`
	Error       string        `json:"error"`
	Next        string        `json:"next"`
	Fingerprint string        `json:"fingerprint,omitempty"` // of a host key or certificate that nobody has agreed to
	KeyType     string        `json:"key_type,omitempty"`    // of a host key
}

func (c command) print(v any) { _ = json.NewEncoder(c.out).Encode(v) }

func (c command) list() int {
	looking.Wait(context.Background(), startWait)
	list, err := c.system.List()
	if err != nil {
		return c.failed("", err)
	}
	if c.json {
		c.print(map[string]any{"places": list})
		return 0
	}
	for _, p := range list {
		fmt.Fprintln(c.out, line(p))
	}
	return 0
}

func (c command) status() int {
	p, err := c.system.Status()
	switch {
	case err != nil:
		return c.failed("", err)
	case c.json:
		c.print(map[string]any{"current": p})
	case p == nil:
		fmt.Fprintln(c.out, "no place chosen")
	default:
		fmt.Fprintln(c.out, line(*p))
	}
	return 0
}

// use is use or test, as is said.
func (c command) use(spec, credentials string, wait time.Duration, do func(place.System, context.Context, string, remote.Credentials) (place.Chosen, error)) int {
	looking.Wait(context.Background(), startWait)
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	shown := spec
	if remote.Is(spec) {
		l, password, _ := remote.Parse(spec)
		shown, c.secrets = l.String(), []remote.Secret{password}
	}
	cred, err := c.read(ctx, credentials)
	if err != nil {
		return c.failed(shown, err)
	}
	c.secrets = append(c.secrets, cred.Secrets()...)
	got, err := do(c.system, ctx, spec, cred)
	if err != nil {
		return c.failed(shown, err)
	}
	if c.json {
		c.print(answer{OK: true, Spec: got.Spec, Path: got.Path, Free: got.Free, ReadOnly: got.ReadOnly, Reason: got.Reason, Next: got.Advice})
		return 0
	}
	fmt.Fprintln(c.out, told(got))
	if got.Advice != "" {
		fmt.Fprintln(c.out, got.Advice)
	}
	return 0
}

// told is an answer in words.
func told(got place.Chosen) string {
	text := got.Spec + " can be used"
	if got.Path != "" {
		text = got.Spec + " is at " + got.Path
	}
	if got.Free >= 0 {
		text += fmt.Sprintf(", %d MB free", got.Free/1e6)
	}
	return text
}

// maxCredentials bounds a credentials file, in bytes.
const maxCredentials = 64 << 10

// read reads the credentials that were named.
func (c command) read(ctx context.Context, name string) (remote.Credentials, error) {
	switch name {
	case "":
		return remote.Credentials{}, nil
	case "-":
		return remote.ReadCredentials(c.in)
	}
	data, err := c.system.ReadFile(ctx, name, maxCredentials)
	if err != nil {
		return remote.Credentials{}, &remote.Error{Reason: remote.Denied, What: "the credentials cannot be read", Err: err,
			Next: "Put the file where its name says, or leave it out and type what is asked for."}
	}
	return remote.ReadCredentials(bytes.NewReader(data))
}

func (c command) release() int {
	if err := c.system.Release(); err != nil {
		return c.failed("", err)
	}
	if c.json {
		c.print(answer{OK: true})
	}
	return 0
}

func (c command) failed(spec string, err error) int {
	a := answer{Spec: spec, Error: remote.Scrub(err.Error(), c.secrets...)}
	var e *place.Error
	var r *remote.Error
	switch {
	case errors.As(err, &e):
		a.Next = e.Next
	case errors.As(err, &r):
		a.Reason, a.Next, a.Fingerprint, a.KeyType = r.Reason, r.Next, r.Fingerprint, r.KeyType
	}
	if c.json {
		c.print(a)
	} else {
		fmt.Fprintf(c.err, "place: %s\n%s\n", a.Error, a.Next)
	}
	return 1
}

func line(p place.Place) string {
	words := []string{p.Spec, p.FileSystem, fmt.Sprintf("%d MB", p.Size/1e6)}
	if p.Free >= 0 {
		words = append(words, fmt.Sprintf("%d MB free", p.Free/1e6))
	}
	if p.Label != "" {
		words = append(words, "LABEL="+p.Label)
	}
	words = append(words, p.Model)
	if p.Current {
		words = append(words, "(in use)")
	}
	if p.ReadOnly {
		words = append(words, "(can only be read)")
	}
	if p.Problem != "" {
		words = append(words, "- "+p.Problem)
	}
	return strings.Join(words, "  ")
}
