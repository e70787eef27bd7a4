package dir

import (
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// again writes once more what was on its way to an SMB server when the
// connection broke. The kernel repeats such writes by itself and says that all
// is well, but with Linux 6.12 other bytes were on the server, or fsync failed.
type again struct {
	file   io.WriterAt
	sync   func() error
	breaks func() string // another text after each break of a connection
	pause  func()        // before it is tried again

	seen   string
	start  int64  // offset of window
	window []byte // what is not known to be on the server
}

// newAgain gives what watches over a file, nil for one that is not on an SMB
// server.
func newAgain(f *os.File) *again {
	var st unix.Statfs_t
	if unix.Fstatfs(int(f.Fd()), &st) != nil || uint32(st.Type) != unix.SMB2_SUPER_MAGIC && uint32(st.Type) != unix.CIFS_SUPER_MAGIC {
		return nil
	}
	return &again{file: f, sync: f.Sync, breaks: smbBreaks, pause: func() { time.Sleep(time.Second) }, seen: smbBreaks()}
}

// wrote takes note of what was written behind the rest.
func (a *again) wrote(p []byte) error {
	if a.window = append(a.window, p...); len(a.window) < writeWindow {
		return nil
	}
	return a.settle()
}

// maxBreaks bounds how often a window is written again after an error, with a
// second between: a server may be away for ten minutes.
const maxBreaks = 600

// settle brings the window to the server, as often as a connection breaks
// meanwhile. The kernel tells of a break once, by fsync.
func (a *again) settle() error {
	for tries := 0; ; tries++ {
		err := a.sync()
		now := a.breaks()
		switch {
		case err == nil && now == a.seen:
			a.start += int64(len(a.window))
			a.window = a.window[:0]
			return nil
		case err != nil && (!broke(err) || tries >= maxBreaks):
			return err
		case err != nil:
			a.pause()
		}
		a.seen = now
		if _, err := a.file.WriteAt(a.window, a.start); err != nil && !broke(err) {
			return err
		}
	}
}

// broke tells whether err is that of a connection, not of a disk.
func broke(err error) bool {
	for _, errno := range []unix.Errno{unix.ECONNABORTED, unix.ECONNRESET, unix.EHOSTDOWN, unix.EAGAIN, unix.ENOTCONN, unix.EPIPE} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}
