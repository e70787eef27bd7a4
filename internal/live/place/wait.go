package place

import (
	"context"
	"errors"

	"doppel.live/internal/live/uevent"
)

// UseWhenThere is Use for a place that may still be on its way: it tries again
// whenever the kernel tells of a block device, until ctx ends. The error is
// then that of the last try.
func (s System) UseWhenThere(ctx context.Context, spec string) (Chosen, error) {
	events := make(chan struct{}, 1)
	if l, err := uevent.Listen(); err == nil {
		defer l.Close()
		go tell(l, events)
	}
	for {
		c, err := s.Use(spec)
		var e *Error
		if !errors.As(err, &e) || !e.Missing {
			return c, err
		}
		select {
		case <-ctx.Done():
			return c, err
		case <-events:
		}
	}
}

// tell passes on that something about block devices has changed, once for any
// number of changes that nobody has looked at yet.
func tell(l *uevent.Listener, events chan<- struct{}) {
	for {
		e, err := l.Next()
		if err != nil && !errors.Is(err, uevent.ErrLost) {
			return
		}
		if err == nil && e.Subsystem != "block" {
			continue
		}
		select {
		case events <- struct{}{}:
		default:
		}
	}
}
