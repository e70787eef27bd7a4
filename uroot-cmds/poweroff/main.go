// Command poweroff switches the machine off.
//
//	poweroff [--force]
//
// It asks the first process, which ends the programs, unmounts the disks and
// switches off. With --force the disks are only synced and the machine goes off
// at once. Exit status: 0 asked, 1 that failed, 2 usage.
package main

import (
	"os"

	"doppel.live/internal/live/power"
)

func main() { os.Exit(power.Command(power.Off, "poweroff", os.Args[1:], os.Stderr)) }
