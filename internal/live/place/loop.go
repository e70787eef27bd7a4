package place

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// loop shows a device read-only through a loop device, which goes away by
// itself after the last user: the file returned, then the mount.
func (s System) loop(device string) (*os.File, error) {
	const control = "/dev/loop-control"
	if _, err := os.Stat(control); err != nil && s.LoadModule != nil {
		if err := s.LoadModule("loop"); err != nil {
			return nil, fmt.Errorf("loop device: %w", err)
		}
	}
	back, err := os.Open(device)
	if err != nil {
		return nil, err
	}
	defer back.Close()
	ctl, err := os.Open(control)
	if err != nil {
		return nil, fmt.Errorf("loop device: %w", err)
	}
	defer ctl.Close()
	for {
		n, err := unix.IoctlRetInt(int(ctl.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("loop device: %w", err)
		}
		f, err := os.Open(fmt.Sprintf("/dev/loop%d", n))
		if err != nil {
			return nil, fmt.Errorf("loop device: %w", err)
		}
		config := unix.LoopConfig{Fd: uint32(back.Fd())}
		config.Info.Flags = unix.LO_FLAGS_READ_ONLY | unix.LO_FLAGS_AUTOCLEAR
		err = unix.IoctlLoopConfigure(int(f.Fd()), &config)
		if err == nil {
			return f, nil
		}
		f.Close()
		if err != unix.EBUSY { // somebody else was quicker
			return nil, fmt.Errorf("loop device: %w", err)
		}
	}
}
