// Command init is the first process of the live system. It has no arguments;
// the kernel command line steers it (README lists the parameters). Started as
// anything but the first process it ends with status 2.
package main

import (
	"fmt"
	"os"

	"doppel.live/internal/live/pid1"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "init: only the kernel starts this; to end the machine use poweroff or reboot")
		os.Exit(2)
	}
	pid1.Run()
}
