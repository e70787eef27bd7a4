// Doppel saves disks and partitions to images, restores them, and clones disks.
//
// Usage:
//
//	doppel COMMAND [OPTIONS] [ARGUMENTS]
//
// Commands: disks, save, restore, clone, verify, convert, usb, images,
// version, help. Options may stand before or behind the arguments; doppel COMMAND --help
// explains one.
//
// Exit status: 0 done, 1 failed, 2 wrong usage, 3 refused to protect data, 4
// done with damage.
package main

import (
	"context"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

func main() {
	os.Exit(start(os.Args[1:], newConsole(os.Stdin, os.Stdout, os.Stderr)))
}

// start runs a command until it is done or a signal cancels it.
func start(args []string, c *console) int {
	// A job goes on when nobody reads what it says any more: half a restore
	// helps nobody.
	signal.Ignore(unix.SIGPIPE)
	ends := []os.Signal{os.Interrupt, unix.SIGTERM}
	if !signal.Ignored(unix.SIGHUP) { // as nohup has it
		ends = append(ends, unix.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	defer stop()
	return run(ctx, args, c)
}
