package power

import (
	"fmt"
	"io"
	"os/signal"
	"slices"

	"golang.org/x/sys/unix"
)

// Command is the body of the commands poweroff and reboot, which differ in one
// word. It returns the exit status.
func Command(a Action, name string, args []string, stderr io.Writer) int {
	force := false
	for _, arg := range args {
		switch {
		case slices.Contains([]string{"--force", "-f"}, arg):
			force = true
		case slices.Contains([]string{"--help", "-h", "-help"}, arg):
			fmt.Fprintf(stderr, "usage: %s [--force]\n\nWith --force at once, without ending programs and unmounting disks.\n", name)
			return 0
		default:
			fmt.Fprintf(stderr, "%s: %q: only --force is known\n", name, arg)
			return 2
		}
	}
	var err error
	if force {
		unix.Sync()
		err = Now(a)
	} else {
		// All programs are ended at once, before this one has said that it was heard.
		signal.Ignore(unix.SIGTERM, unix.SIGHUP)
		err = Ask(a)
	}
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v; try %s --force\n", name, err, name)
		return 1
	}
	return 0
}
