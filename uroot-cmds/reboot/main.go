// Command reboot restarts the machine.
//
//	reboot [--force]
//
// It asks the first process, which ends the programs, unmounts the disks and
// restarts. With --force the disks are only synced and the machine restarts at
// once. Exit status: 0 asked, 1 that failed, 2 usage.
package main

import (
	"os"

	"doppel.live/internal/live/power"
)

func main() { os.Exit(power.Command(power.Restart, "reboot", os.Args[1:], os.Stderr)) }
