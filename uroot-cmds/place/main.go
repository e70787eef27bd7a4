// Command place chooses where images lie, in the live system.
//
//	place list [--json]                     places on the disks of this machine
//	place use SPEC [--wait TIME] [--json]   mount one at /images instead of the former
//	place status [--json]                   the one in use
//	place release [--json]                  unmount it
//
// SPEC is a device (/dev/sdb1), LABEL=x, UUID=x, or boot for the medium that
// was started from. With --wait, use waits up to TIME (such as 30s) for a disk
// that is still on its way. Exit status: 0 done, 1 failed, 2 usage.
package main

import (
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
)

const usage = "usage: place list | use SPEC [--wait TIME] | status | release   (each with --json)"

// startWait is how long a list waits for the drivers of what was there at the
// start of the live system.
const startWait = 20 * time.Second

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("place", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprintln(stderr, usage); flags.PrintDefaults() }
	asJSON := flags.Bool("json", false, "print JSON")
	wait := flags.Duration("wait", 0, "how long use waits for the place to appear")
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
	c := command{system: place.System{LoadModule: loadModule}, json: *asJSON, out: stdout, err: stderr}
	switch verb := strings.Join(words, " "); {
	case verb == "list":
		return c.list()
	case verb == "status":
		return c.status()
	case verb == "release":
		return c.release()
	case len(words) == 2 && words[0] == "use":
		return c.use(words[1], *wait)
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
	out, err io.Writer
}

// answer is what use and release print under --json.
type answer struct {
	OK       bool   `json:"ok"`
	Spec     string `json:"spec"`
	Path     string `json:"path"`
	Free     int64  `json:"free"`
	ReadOnly bool   `json:"read_only"`
	Error    string `json:"error"`
	Next     string `json:"next"`
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

func (c command) use(spec string, wait time.Duration) int {
	looking.Wait(context.Background(), startWait)
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	got, err := c.system.UseWhenThere(ctx, spec)
	if err != nil {
		return c.failed(spec, err)
	}
	if c.json {
		c.print(answer{OK: true, Spec: got.Spec, Path: place.Dir, Free: got.Free, ReadOnly: got.ReadOnly, Next: got.Advice})
		return 0
	}
	fmt.Fprintf(c.out, "%s is at %s, %d MB free\n", got.Spec, place.Dir, got.Free/1e6)
	if got.Advice != "" {
		fmt.Fprintln(c.out, got.Advice)
	}
	return 0
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
	a := answer{Spec: spec, Error: err.Error()}
	var e *place.Error
	if errors.As(err, &e) {
		a.Next = e.Next
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
