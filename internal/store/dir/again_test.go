package dir

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"
)

// server is a file on a server that loses what is on its way when a connection
// breaks, and says that all is well.
type server struct {
	data   []byte
	syncs  int
	breaks []int // with which sync a connection breaks
	count  int
	lost   func([]byte)
}

func (s *server) WriteAt(p []byte, at int64) (int, error) {
	s.data = append(s.data[:min(at, int64(len(s.data)))], p...)
	return len(p), nil
}

func (s *server) sync() error {
	if s.syncs++; slices.Contains(s.breaks, s.syncs) {
		s.count++
		s.lost(s.data)
		if s.count%2 == 0 { // some are told
			return fmt.Errorf("sync: %w", syscall.ECONNABORTED)
		}
	}
	return nil
}

func (s *server) told() string { return fmt.Sprintf("%d session 0 share reconnects\n", s.count) }

func TestAgain(t *testing.T) {
	for _, breaks := range [][]int{nil, {1}, {2}, {1, 2, 3}, {3}, {4}} {
		s := &server{breaks: breaks}
		a := &again{file: s, sync: s.sync, breaks: s.told, seen: s.told(), pause: func() {}}
		s.lost = func(data []byte) { clear(data[a.start:]) }
		piece := bytes.Repeat([]byte("doppel "), 1<<20)
		var want []byte
		for range 6 {
			want = append(want, piece...)
			s.data = append(s.data, piece...) // what the file itself writes
			if err := a.wrote(piece); err != nil {
				t.Fatal(err)
			}
			if len(a.window) >= writeWindow {
				t.Fatalf("a window of %d bytes", len(a.window))
			}
		}
		if err := a.settle(); err != nil || !bytes.Equal(s.data, want) {
			t.Errorf("breaks %v: %d bytes of %d, %v", breaks, len(s.data), len(want), err)
		}
	}
	a := &again{sync: func() error { return errors.ErrUnsupported }, breaks: func() string { return "" }}
	if err := a.settle(); !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
}

func TestBreaksIn(t *testing.T) {
	const stats = "Resources in use\nCIFS Session: 1\nOperations (MIDs): 0\n\n3 session 5 share reconnects\nTotal vfs operations: 16\n"
	if got := breaksIn(stats); got != "3 session 5 share reconnects\n" {
		t.Errorf("%q", got)
	}
	if breaksIn("") != "" {
		t.Error("out of nothing")
	}
}
