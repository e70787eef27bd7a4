// Build makes Doppel's images: the bootable out/doppel.iso and out/doppel, the
// same commands as one program for any Linux. It is called by build.sh, which
// sets up what the builder needs: Go, and an apt of our own below the cache.
//
//	build --cache DIR [--mirror URL] [--offline] [--free] [--fuzz DURATION] image|host|test|bench|soak|qemu
//
// Exit status: 0 done, 1 failed, 2 usage.
package main

import (
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"doppel.live/build/debian"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("build: ")
	if err := run(os.Args[1:]); errors.Is(err, errUsage) {
		os.Exit(2)
	} else if err != nil {
		log.Fatal(err)
	}
}

var errUsage = errors.New("usage")

// builder knows where everything is.
type builder struct {
	source string // directory of go.mod
	out    string
	cache  string
	mirror string // for the sample system of tests
	free   bool

	fuzz time.Duration // for each target, in a soak

	apt     debian.Apt
	archive *debian.Archive
	goTool  string // the go command
	time    time.Time
}

func run(args []string) error {
	flags := flag.NewFlagSet("build", flag.ContinueOnError)
	cache := flags.String("cache", "", "directory for downloads and parts that are kept")
	mirror := flags.String("mirror", "", "Debian mirror for the sample system")
	free := flags.Bool("free", false, "leave out non-free-firmware")
	fuzz := flags.Duration("fuzz", 3*time.Minute, "how long soak runs each fuzz target; 0 is not at all")
	offline := flags.Bool("offline", false, "use only what is in the cache")
	if err := flags.Parse(args); err != nil || flags.NArg() != 1 || *cache == "" {
		fmt.Fprintln(os.Stderr, "usage: build --cache DIR [--offline] [--free] VERB; better: ./build.sh")
		return errUsage
	}
	source, err := os.Getwd()
	if err != nil {
		return err
	}
	b := &builder{
		source: source,
		out:    filepath.Join(source, "out"),
		cache:  *cache,
		mirror: *mirror,
		free:   *free,
		fuzz:   *fuzz,
		apt:    debian.Apt{Config: filepath.Join(*cache, "apt", "apt.conf"), Offline: *offline},
	}
	// build.sh puts the toolchain that go.mod names first
	if b.goTool, err = exec.LookPath("go"); err != nil {
		return err
	}
	if b.time, err = buildTime(source); err != nil {
		return err
	}
	return b.do(flags.Arg(0))
}

func (b *builder) do(verb string) error {
	switch verb {
	case "host":
		return step("host", b.host)
	case "image":
		return b.image()
	case "test":
		return b.test(nil, "-timeout=1h")
	case "soak":
		return b.soak()
	case "bench":
		return b.test(nil, "-run=^$", "-bench=.", "-p=1", "-timeout=2h") // one after the other: they share the machine
	case "qemu":
		return b.qemu()
	}
	return fmt.Errorf("%q is not one of image, host, test, bench, soak, qemu", verb)
}

// step runs a part of the build and says how long it took.
func step(name string, f func() error) error {
	start := time.Now()
	if err := f(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	log.Printf("%-12s %6.1f s", name, time.Since(start).Seconds())
	return nil
}
