// Doppel saves disks and partitions to images and restores them.
//
// Usage:
//
//	doppel COMMAND [OPTIONS] [ARGUMENTS]
//
// Commands: disks, save, restore, verify, images, version, help. Options may
// stand before or behind the arguments; doppel COMMAND --help explains one.
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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM, unix.SIGHUP)
	status := run(ctx, os.Args[1:], newConsole(os.Stdin, os.Stdout, os.Stderr))
	stop()
	os.Exit(status)
}
