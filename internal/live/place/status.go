package place

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"doppel.live/internal/store/remote"
)

// answerTime is how long the present place has to tell its free space. A
// server that is away must not keep anybody from asking.
const answerTime = 3 * time.Second

// mounted is what is mounted at Dir.
type mounted struct {
	source   string // spec
	device   string // as mounted
	fs       string // type
	readOnly bool
	size     int64 // bytes; -1: it does not answer
	free     int64 // bytes; -1: it does not answer
}

// network tells whether it lies on a server.
func (m *mounted) network() bool { return m.fs == "nfs" || m.fs == "nfs4" || m.fs == "cifs" }

// mounted reads the mount table. Nothing at Dir is nil: the folder alone is
// no place, it would fill the memory.
func (s System) mounted() (*mounted, error) {
	text, err := os.ReadFile(s.path("proc/self/mountinfo"))
	if err != nil {
		return nil, err
	}
	m := parseMounts(string(text))
	if m == nil {
		return nil, nil
	}
	m.source = m.device
	switch {
	case m.network():
		if r, err := s.readRecord(mountRecord); err == nil {
			m.source = r.URL
		}
	case strings.HasPrefix(m.device, "/dev/loop"), s.isBootMedium(filepath.Base(m.device)):
		m.source = Boot
	}
	m.size, m.free = space(s.path(Dir))
	return m, nil
}

// parseMounts finds the last mount at Dir in a text like /proc/self/mountinfo
// (proc_pid_mountinfo(5)).
func parseMounts(text string) *mounted {
	var m *mounted
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		dash := slices.Index(f, "-")
		if dash < 6 || len(f) < dash+3 || f[4] != Dir {
			continue
		}
		ro := func(options string) bool { return slices.Contains(strings.Split(options, ","), "ro") }
		m = &mounted{device: unescape(f[dash+2]), fs: f[dash+1], readOnly: ro(f[5]) || len(f) > dash+3 && ro(f[dash+3])}
	}
	return m
}

// unescape undoes the octal escapes of mountinfo.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// space gives size and free space in bytes, -1 when there is no answer in time.
// The question stays behind in the kernel then and ends with the process.
func space(dir string) (size, free int64) {
	answer := make(chan unix.Statfs_t, 1)
	go func() {
		var st unix.Statfs_t
		if unix.Statfs(dir, &st) == nil {
			answer <- st
		} else {
			close(answer)
		}
	}()
	select {
	case st, ok := <-answer:
		if ok {
			return int64(st.Blocks) * st.Bsize, int64(st.Bavail) * st.Bsize
		}
	case <-time.After(answerTime):
	}
	return -1, -1
}

// chosen completes what became of a place from how it is mounted.
func (s System) chosen(c Chosen) (Chosen, error) {
	now, err := s.mounted()
	if err == nil && now == nil {
		err = errors.New(Dir + ": nothing is mounted there after all")
	}
	if err != nil {
		return Chosen{}, err
	}
	c.Path, c.Free, c.ReadOnly = Dir, now.free, now.readOnly
	if now.readOnly && c.Reason == "" {
		c.Reason = remote.ReadOnly
	}
	if now.readOnly && c.Advice == "" {
		c.Advice = "It is mounted for reading only."
	}
	return c, nil
}

// Status gives the chosen place, or nil.
func (s System) Status() (*Place, error) {
	now, err := s.mounted()
	if err != nil {
		return nil, err
	}
	if now == nil {
		return s.recorded(), nil
	}
	if now.network() {
		return now.place(), nil
	}
	p := Place{Spec: now.source, FileSystem: now.fs}
	if list, err := s.disks(); err == nil {
		for _, q := range list {
			if q.Spec == now.source {
				p = q
			}
		}
	}
	p.Path, p.Current, p.Free, p.ReadOnly = Dir, true, now.free, now.readOnly
	return &p, nil
}

// place describes a server's folder that is mounted.
func (m *mounted) place() *Place {
	p := Place{Spec: m.source, Path: Dir, FileSystem: kind(m.fs), Size: max(m.size, 0), Free: m.free, ReadOnly: m.readOnly, Current: true}
	if m.free < 0 {
		p.Problem = "the server does not answer"
	}
	return &p
}

// kind is the scheme of the URLs of what the kernel mounts as fs.
func kind(fs string) string {
	if fs == "cifs" {
		return remote.SMB
	}
	return remote.NFS
}

// recorded is the place that is not mounted but used by its URL, or nil.
func (s System) recorded() *Place {
	r, err := s.readRecord(useRecord)
	if err != nil {
		return nil
	}
	l, _, err := remote.Parse(r.URL)
	if err != nil {
		return nil
	}
	return &Place{Spec: r.URL, Path: r.URL, FileSystem: l.Scheme, Free: -1, Current: true,
		ReadOnly: r.ReadOnly || l.Scheme == remote.HTTP || l.Scheme == remote.HTTPS}
}

// System's records, below /run/doppel.
const (
	useRecord   = "run/doppel/place.json"   // a place that is used by its URL, with its credentials
	mountRecord = "run/doppel/mounted.json" // the URL of what is mounted at Dir
)

// forget removes both records.
func (s System) forget() error {
	for _, name := range []string{useRecord, mountRecord} {
		if err := os.Remove(s.path(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("record of the place: %w", err)
		}
	}
	return nil
}
