// Package uevent hears what the kernel says about devices that come, change
// and go. It decides nothing: who listens loads modules or looks again.
package uevent

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Event is one message of the kernel.
type Event struct {
	Action    string            // add, remove, change, move, online, offline, bind, unbind
	DevPath   string            // below /sys, such as /devices/pci0000:00/…
	Subsystem string            // block, pci, usb, …
	Env       map[string]string // everything it said, those three included
}

// ErrFormat says that a message is none of the kernel's.
var ErrFormat = errors.New("uevent: not a message of the kernel")

// ErrLost says that messages were dropped because too many came at once. The
// listener goes on; its owner looks at all of /sys again.
var ErrLost = errors.New("uevent: messages lost")

// maxMessage is above what the kernel sends: UEVENT_BUFFER_SIZE (2048 bytes of
// variables) and the path before them.
const maxMessage = 16 << 10

// Parse reads one message: "ACTION@DEVPATH", then KEY=VALUE strings, each
// ended by a zero byte.
func Parse(b []byte) (Event, error) {
	head, rest, ok := bytes.Cut(b, []byte{0})
	action, path, at := strings.Cut(string(head), "@")
	if !ok || !at || action == "" || !strings.HasPrefix(path, "/") {
		return Event{}, ErrFormat
	}
	e := Event{Action: action, DevPath: path, Env: map[string]string{}}
	for _, pair := range bytes.Split(rest, []byte{0}) {
		if key, value, ok := strings.Cut(string(pair), "="); ok && key != "" {
			e.Env[key] = value
		}
	}
	e.Subsystem = e.Env["SUBSYSTEM"]
	return e, nil
}

// Listener hears the kernel's messages.
type Listener struct {
	fd int
}

// Listen opens a listener. Messages count from here on.
func Listen() (*Listener, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, fmt.Errorf("uevent: socket: %w", err)
	}
	// A disk with many partitions on a slow machine sends more than the default
	// holds. Without the right to force it the limit of the system holds.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 8<<20)
	}
	const kernelGroup = 1 // group 2 is udev's
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: kernelGroup}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("uevent: bind: %w", err)
	}
	return &Listener{fd}, nil
}

// Next waits for a message. After ErrLost it can be called again. Messages of
// other senders than the kernel are passed over.
func (l *Listener) Next() (Event, error) {
	buf := make([]byte, maxMessage)
	for {
		n, from, err := unix.Recvfrom(l.fd, buf, 0)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.ENOBUFS:
			return Event{}, ErrLost
		case err != nil:
			return Event{}, fmt.Errorf("uevent: receive: %w", err)
		}
		if sender, ok := from.(*unix.SockaddrNetlink); !ok || sender.Pid != 0 {
			continue
		}
		if e, err := Parse(buf[:n]); err == nil {
			return e, nil
		}
	}
}

// Close ends the listener.
func (l *Listener) Close() error { return unix.Close(l.fd) }

// Announce passes on, until the listener is closed, that something about
// devices of a subsystem has changed, or may have: once for any number of
// changes that nobody has looked at yet, if events has room for one.
func (l *Listener) Announce(subsystem string, events chan<- struct{}) {
	for {
		e, err := l.Next()
		if err != nil && !errors.Is(err, ErrLost) {
			return
		}
		if err == nil && e.Subsystem != subsystem {
			continue
		}
		select {
		case events <- struct{}{}:
		default:
		}
	}
}
