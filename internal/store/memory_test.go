package store_test

import (
	"errors"
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

// ReadFile takes nothing for whole that has not all its bytes.
func TestReadFileShort(t *testing.T) {
	m := new(store.Memory)
	if err := store.WriteFile(m, "a", []byte("line\nline\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, at := range []int64{0, 1, 5, 9} {
		if data, err := store.ReadFile(storetest.Short{Store: m, Name: "a", At: at}, "a", 100); !errors.Is(err, store.ErrShort) {
			t.Errorf("ended at byte %d: %q, %v", at, data, err)
		}
	}
	if data, err := store.ReadFile(storetest.Short{Store: m, Name: "a", At: 10}, "a", 100); err != nil || len(data) != 10 {
		t.Errorf("whole: %q, %v", data, err)
	}
}
