// Package looking tells whether the live system is still loading the drivers
// of what was there when it started, so that a list of disks made in that time
// is not taken for all of them. Outside the live system nobody looks.
package looking

import (
	"context"
	"os"
	"time"
)

// file stands while the first process looks for devices.
const file = "/run/doppel/looking"

// Begin says that the looking has begun; the function returned, that it is over.
func Begin() (end func(), err error) {
	return begin(file)
}

// Wait waits until it is over, at most for limit: a driver may wait very long
// for a disk that does not answer.
func Wait(ctx context.Context, limit time.Duration) {
	wait(ctx, file, limit)
}

func begin(name string) (func(), error) {
	if err := os.WriteFile(name, nil, 0o644); err != nil {
		return func() {}, err
	}
	return func() { _ = os.Remove(name) }, nil
}

func wait(ctx context.Context, name string, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(name); err != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
