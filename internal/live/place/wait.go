package place

import (
	"context"
	"errors"
	"time"

	"doppel.live/internal/live/uevent"
	"doppel.live/internal/store/remote"
)

// pause is between two tries to reach a server.
const pause = 2 * time.Second

// UseWhenThere is Use for a place that may still be on its way, until ctx
// ends: the network is brought up for a server, and it is tried again; for a
// disk, whenever the kernel tells of a block device. The error is then that of
// the last try.
func (s System) UseWhenThere(ctx context.Context, spec string, cred remote.Credentials) (c Chosen, err error) {
	err = s.whenThere(ctx, spec, func(ctx context.Context) (err error) {
		c, err = s.Use(ctx, spec, cred)
		return err
	})
	return c, err
}

// TestWhenThere is Test in the same way.
func (s System) TestWhenThere(ctx context.Context, spec string, cred remote.Credentials) (c Chosen, err error) {
	err = s.whenThere(ctx, spec, func(ctx context.Context) (err error) {
		c, err = s.Test(ctx, spec, cred)
		return err
	})
	return c, err
}

// whenThere tries until it works, fails for good, or ctx ends. The last try
// has the time that it needs.
func (s System) whenThere(ctx context.Context, spec string, try func(context.Context) error) error {
	events := make(chan struct{}, 1)
	if remote.Is(spec) {
		if err := s.network(ctx); err != nil {
			return err
		}
	} else if l, err := uevent.Listen(); err == nil {
		defer l.Close()
		go l.Announce("block", events)
	}
	for {
		err := try(context.WithoutCancel(ctx))
		if !mayCome(err) {
			return err
		}
		var again <-chan time.Time
		if remote.Is(spec) {
			again = time.After(pause)
		}
		select {
		case <-ctx.Done():
			return err
		case <-events:
		case <-again:
		}
	}
}

// network sees to it that there is one.
func (s System) network(ctx context.Context) error {
	if s.Network == nil {
		return nil
	}
	if err := s.Network(ctx); err != nil {
		return &remote.Error{Reason: remote.NoRoute, What: "this machine has no network", Err: err,
			Next: "Plug in a cable, or give addresses: network up --ip ADDRESS::GATEWAY:NETMASK."}
	}
	return nil
}

// mayCome tells whether trying again may help: a disk that is not there yet, a
// server that starts.
func mayCome(err error) bool {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.Missing
	}
	e := (*remote.Error)(nil)
	return errors.As(err, &e) && (e.Reason == remote.NoRoute || e.Reason == remote.UnknownName || e.Reason == remote.Refused)
}
