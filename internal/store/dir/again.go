package dir

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// again writes once more what was on its way to an SMB server when the
// connection broke. The kernel repeats such writes by itself and says that all
// is well, but Linux 6.12 was seen to leave other bytes on the server.
type again struct {
	file   io.WriterAt
	sync   func() error
	breaks func() string // another text after each break of a connection

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
	return &again{file: f, sync: f.Sync, breaks: smbBreaks, seen: smbBreaks()}
}

// wrote takes note of what was written behind the rest.
func (a *again) wrote(p []byte) error {
	if a.window = append(a.window, p...); len(a.window) < writeWindow {
		return nil
	}
	return a.settle()
}

// settle brings the window to the server, as often as a connection breaks
// meanwhile.
func (a *again) settle() error {
	for {
		if err := a.sync(); err != nil {
			return err
		}
		now := a.breaks()
		if now == a.seen {
			a.start += int64(len(a.window))
			a.window = a.window[:0]
			return nil
		}
		a.seen = now
		if _, err := a.file.WriteAt(a.window, a.start); err != nil {
			return err
		}
	}
}
