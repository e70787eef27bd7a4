package store_test

import (
	"errors"
	"io"
	"testing"

	"doppel.live/internal/store"
	"doppel.live/internal/store/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Store { return new(store.Memory) })
}

func TestMemoryFull(t *testing.T) {
	m := &store.Memory{Limit: 10}
	if err := store.WriteFile(m, "a", make([]byte, 8), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := store.WriteFile(m, "b", make([]byte, 3), 0o644); !errors.Is(err, store.ErrFull) {
		t.Fatalf("full: %v", err)
	}
	if free, _ := m.Free(); free != 2 {
		t.Fatalf("free %d, want 2", free)
	}
	m.Locked = true
	if err := m.MakeFolder("f"); !errors.Is(err, store.ErrReadOnly) || !m.ReadOnly() {
		t.Fatalf("read-only: %v", err)
	}
}

// cut is a store whose objects end early when they are read.
type cut struct {
	*store.Memory
	at int64
}

func (c cut) Open(name string) (store.Reader, error) {
	r, err := c.Memory.Open(name)
	return cutReader{r, c.at}, err
}

type cutReader struct {
	store.Reader
	at int64
}

func (r cutReader) ReadAt(p []byte, off int64) (int, error) {
	return io.NewSectionReader(r.Reader, 0, r.at).ReadAt(p, off)
}

// ReadFile takes nothing for whole that has not all its bytes.
func TestReadFileShort(t *testing.T) {
	m := new(store.Memory)
	if err := store.WriteFile(m, "a", []byte("line\nline\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, at := range []int64{0, 1, 5, 9} {
		if data, err := store.ReadFile(cut{m, at}, "a", 100); !errors.Is(err, store.ErrShort) {
			t.Errorf("ended at byte %d: %q, %v", at, data, err)
		}
	}
	if data, err := store.ReadFile(cut{m, 10}, "a", 100); err != nil || len(data) != 10 {
		t.Errorf("whole: %q, %v", data, err)
	}
}
