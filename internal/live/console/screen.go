package console

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Requests and values of linux/kd.h and linux/vt.h.
const (
	kdSetMode    = 0x4B3A // KDSETMODE
	kdText       = 0      // KD_TEXT
	kdSetKbMode  = 0x4B45 // KDSKBMODE
	kUnicode     = 3      // K_UNICODE
	kdFontOp     = 0x4B72 // KDFONTOP
	fontDefault  = 2      // KD_FONT_OP_SET_DEFAULT
	vtActivate   = 0x5606 // VT_ACTIVATE
	bigFont      = "TER16x32"
	bigFontCols  = 160 // 80 columns are left with characters twice as wide
	bigFontLines = 50  // and 25 lines
)

// reset and UTF-8, clear.
const resetScreen = "\x1bc\x1b%G\x1b[2J\x1b[H"

// PrepareScreen makes the virtual console f a text screen in UTF-8, for the
// keyboard too, and clears it.
func PrepareScreen(f *os.File) error {
	fd := int(f.Fd())
	if err := unix.IoctlSetInt(fd, kdSetMode, kdText); err != nil {
		return fmt.Errorf("console %s: text mode: %w", f.Name(), err)
	}
	if err := unix.IoctlSetInt(fd, kdSetKbMode, kUnicode); err != nil {
		return fmt.Errorf("console %s: UTF-8 keyboard: %w", f.Name(), err)
	}
	_, err := f.WriteString(resetScreen)
	return err
}

// Activate shows the virtual console of that number.
func Activate(f *os.File, number int) error {
	return unix.IoctlSetInt(int(f.Fd()), vtActivate, number)
}

// fontOp is struct console_font_op.
type fontOp struct {
	op, flags, width, height, charcount uint32
	data                                unsafe.Pointer
}

// FitFont gives the virtual console f the kernel's big font where at least
// 80×25 characters of it fit: at 1280×800 and above. VGA's own text mode never
// has room for it. It tells whether the font was changed.
func FitFont(f *os.File) (changed bool, err error) {
	fd := int(f.Fd())
	size, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
	if err != nil {
		return false, fmt.Errorf("console %s: size: %w", f.Name(), err)
	}
	if size.Col < bigFontCols || size.Row < bigFontLines {
		return false, nil
	}
	name := append([]byte(bigFont), make([]byte, 32)...)
	op := fontOp{op: fontDefault, data: unsafe.Pointer(&name[0])}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), kdFontOp, uintptr(unsafe.Pointer(&op)))
	runtime.KeepAlive(name)
	if errno != 0 {
		return false, fmt.Errorf("console %s: font %s: %w", f.Name(), bigFont, errno)
	}
	return true, nil
}
