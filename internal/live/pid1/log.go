package pid1

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"doppel.live/internal/store/remote"
	"golang.org/x/sys/unix"
)

// log writes to the kernel's log, which reaches the consoles, and to a file.
type log struct {
	mu      sync.Mutex
	kmsg    *os.File
	file    *os.File
	secrets []remote.Secret // that it shows nowhere; set before it is used
}

func newLog() *log { return &log{} }

// open opens both ends, once the tree is mounted.
func (l *log) open() {
	// By default the kernel drops most of what is written quickly.
	_ = os.WriteFile("/proc/sys/kernel/printk_devkmsg", []byte("on\n"), 0)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kmsg, _ = os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	l.file, _ = os.OpenFile(logFolder+"/init.log", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
}

// openNode opens the kernel's log before devtmpfs is there.
func (l *log) openNode() {
	_ = os.Mkdir("/dev", 0o755)
	_ = unix.Mknod("/dev/kmsg", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 11)))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kmsg, _ = os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
}

// Levels of the kernel's log. What has critical stands on the consoles even
// with "quiet" on the command line.
const (
	critical = 2
	notice   = 5
)

func (l *log) printf(format string, args ...any) { l.write(notice, fmt.Sprintf(format, args...)) }

// always is for what tests and users must see on every console.
func (l *log) always(format string, args ...any) { l.write(critical, fmt.Sprintf(format, args...)) }

func (l *log) write(level int, text string) {
	text = remote.Scrub(text, l.secrets...)
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if l.kmsg != nil {
			fmt.Fprintf(l.kmsg, "<%d>doppel: %s\n", level, line)
		} else {
			fmt.Fprintf(os.Stderr, "doppel: %s\n", line)
		}
		if l.file != nil {
			fmt.Fprintf(l.file, "%s %s\n", uptime(), line)
		}
	}
}

// uptime is the time since the kernel started, as its log counts it.
func uptime() string {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) != nil {
		return "?"
	}
	return fmt.Sprintf("%.2f s", time.Duration(t.Nano()).Seconds())
}

// showKernelLog copies the kernel's log, which begins with the whole command
// line, to a console for ever. A record of
// /dev/kmsg is "priority,number,microseconds,flags;text", further lines of it
// begin with a space.
func showKernelLog(to *os.File, secrets []remote.Secret) error {
	from, err := os.Open("/dev/kmsg")
	if err != nil {
		return err
	}
	defer from.Close()
	buf := make([]byte, 8192)
	for {
		n, err := from.Read(buf)
		if pathErr, ok := err.(*os.PathError); ok && pathErr.Err == unix.EPIPE {
			continue // overwritten before it was read
		}
		if err != nil {
			return err
		}
		if _, err := to.WriteString(remote.Scrub(logLine(string(buf[:n])), secrets...)); err != nil {
			return err
		}
	}
}

// logLine makes "[    1.234567] text\n" of a record.
func logLine(record string) string {
	head, text, ok := strings.Cut(record, ";")
	fields := strings.Split(head, ",")
	if !ok || len(fields) < 3 {
		return ""
	}
	text, _, _ = strings.Cut(text, "\n")
	var micro int64
	_, _ = fmt.Sscan(fields[2], &micro)
	return fmt.Sprintf("[%5d.%06d] %s\n", micro/1e6, micro%1e6, text)
}
