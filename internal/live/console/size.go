package console

import (
	"bytes"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Size is that of a terminal, in characters.
type Size struct {
	Rows, Cols int
}

// plausible keeps a nonsense answer from making a screen that nobody can use.
func (s Size) plausible() bool {
	return s.Rows >= 10 && s.Rows <= 300 && s.Cols >= 40 && s.Cols <= 1000
}

// What is taken where nobody says.
var (
	screenSize = Size{25, 80}
	serialSize = Size{24, 80}
)

// FitSize sees to it that the terminal f of console c knows its size. A serial
// line has none by itself: the terminal behind it is asked, and given wait to
// answer; 0 means that it is not asked. What somebody typed meanwhile is put
// back. FitSize tells whether the terminal answered.
func FitSize(c Console, f *os.File, wait time.Duration) (answered bool, err error) {
	fd := int(f.Fd())
	have, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
	if err != nil {
		return false, fmt.Errorf("console %s: size: %w", c.Name, err)
	}
	if c.Virtual() {
		if have.Row != 0 && have.Col != 0 {
			return false, nil
		}
		return false, setSize(fd, screenSize)
	}
	var size Size
	if wait > 0 {
		size, answered = askSize(fd, wait)
	}
	switch {
	case answered && size.plausible():
	case have.Row != 0 && have.Col != 0:
		return answered, nil
	default:
		size = serialSize
	}
	return answered, setSize(fd, size)
}

func setSize(fd int, s Size) error {
	return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(s.Rows), Col: uint16(s.Cols)})
}

// question saves the cursor, sends it far to the lower right, asks where it
// came to (DSR 6 of ECMA-48) and puts it back.
const question = "\x1b7\x1b[999;999H\x1b[6n\x1b8"

// askSize asks the terminal behind fd and waits that long for the answer.
func askSize(fd int, wait time.Duration) (size Size, ok bool) {
	old, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return Size{}, false
	}
	raw := *old
	raw.Lflag &^= unix.ICANON | unix.ECHO | unix.ISIG
	raw.Iflag &^= unix.ICRNL
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 0, 0
	if unix.IoctlSetTermios(fd, unix.TCSETS, &raw) != nil {
		return Size{}, false
	}
	_, _ = unix.Write(fd, []byte(question))
	var got []byte
	for deadline := time.Now().Add(wait); ; {
		got = append(got, readWithin(fd, time.Until(deadline))...)
		var rest []byte
		if size, rest, ok = cursorReport(got); ok {
			got = rest
			break
		}
		if time.Now().After(deadline) || len(got) > 4096 {
			break
		}
	}
	_ = unix.IoctlSetTermios(fd, unix.TCSETS, old)
	for _, b := range got {
		// It was typed for whoever reads next. This needs privilege, which init
		// has, and takes the first byte of the number, on little-endian machines.
		_ = unix.IoctlSetPointerInt(fd, unix.TIOCSTI, int(b))
	}
	return size, ok
}

// readWithin gives what came within the time, at once if something is there.
func readWithin(fd int, wait time.Duration) []byte {
	if wait < 0 {
		wait = 0
	}
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if n, err := unix.Poll(p, int(wait.Milliseconds())); err != nil || n == 0 {
		return nil
	}
	buf := make([]byte, 256)
	n, err := unix.Read(fd, buf)
	if err != nil || n < 0 {
		return nil
	}
	return buf[:n]
}

// cursorReport finds ESC [ rows ; cols R in b and gives the rest of b.
func cursorReport(b []byte) (s Size, rest []byte, ok bool) {
	for from := 0; ; {
		i := bytes.Index(b[from:], []byte("\x1b["))
		if i < 0 {
			return Size{}, b, false
		}
		start := from + i
		p := start + 2
		rows, p := number(b, p)
		if p < len(b) && b[p] == ';' {
			cols, q := number(b, p+1)
			if q < len(b) && b[q] == 'R' && rows > 0 && cols > 0 {
				return Size{rows, cols}, append(bytes.Clone(b[:start]), b[q+1:]...), true
			}
		}
		from = start + 2
	}
}

// number reads decimal digits, few enough not to overflow.
func number(b []byte, p int) (n, next int) {
	for p < len(b) && b[p] >= '0' && b[p] <= '9' && n < 100000 {
		n = n*10 + int(b[p]-'0')
		p++
	}
	return n, p
}
