// Command modprobe loads kernel modules, and what they depend on. It
// understands aliases, so that the kernel's own requests reach it through
// /proc/sys/kernel/modprobe.
//
// Synopsis:
//
//	modprobe [-q] [-v] [-n] NAME [PARAMETER=VALUE...]
//	modprobe [-q] [-v] [-n] -a NAME...
//	modprobe [-q] -r NAME...
//
// Options:
//
//	-a  all arguments are modules, none is a parameter
//	-D  print what would be loaded, in order, as insmod command lines
//	-n  load nothing
//	-q  say nothing about a name that no module has
//	-r  take modules out of the kernel
//	-v  print what is loaded
//
// A NAME is the name of a module or an alias, such as fs-xfs.
//
// Exit status: 0 done, 1 failed, 2 usage.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"doppel.live/internal/live/modules"
)

func main() {
	err := run(os.Stdout, os.Stderr, os.Args[1:])
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		os.Exit(2)
	default:
		fmt.Fprintf(os.Stderr, "modprobe: %v\n", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage")

// options are the command line's flags.
type options struct {
	all, show, dry, quiet, remove, verbose bool
}

func run(stdout, stderr io.Writer, args []string) error {
	var o options
	flags := flag.NewFlagSet("modprobe", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.BoolVar(&o.all, "a", false, "all arguments are modules")
	flags.BoolVar(&o.show, "D", false, "print what would be loaded")
	flags.BoolVar(&o.show, "show-depends", false, "the same as -D")
	flags.BoolVar(&o.dry, "n", false, "load nothing")
	flags.BoolVar(&o.quiet, "q", false, "say nothing about unknown names")
	flags.BoolVar(&o.remove, "r", false, "take modules out of the kernel")
	flags.BoolVar(&o.verbose, "v", false, "print what is loaded")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	names := flags.Args()
	if len(names) == 0 {
		fmt.Fprintln(stderr, "usage: modprobe [-q] [-v] [-n] NAME [PARAMETER=VALUE...]")
		return errUsage
	}
	var params []string
	if !o.all && !o.remove {
		names, params = names[:1], names[1:]
	}
	return o.apply(stdout, names, params)
}

// apply does to each of the names what the options say.
func (o options) apply(stdout io.Writer, names, params []string) error {
	loader, err := modules.Open()
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		err := o.one(stdout, loader, name, params)
		if !(o.quiet && errors.Is(err, modules.ErrNotFound)) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (o options) one(stdout io.Writer, loader *modules.Loader, name string, params []string) error {
	if o.remove {
		return loader.Remove(name)
	}
	if o.show || o.verbose {
		files, err := loader.Plan(name)
		if err != nil {
			return err
		}
		for _, f := range files {
			fmt.Fprintln(stdout, strings.TrimSpace("insmod "+f))
		}
	}
	if o.show || o.dry {
		return nil
	}
	return loader.Load(name, params...)
}
