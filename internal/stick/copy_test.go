package stick

import (
	"errors"
	"io/fs"
	"testing"

	"doppel.live/internal/progress"
	"doppel.live/internal/store"
)

// An image is copied with everything in it, or not at all.
func TestCopyImage(t *testing.T) {
	from, to := &store.Memory{}, &store.Memory{}
	for _, folder := range []string{"lab", "lab/deep"} {
		if err := from.MakeFolder(folder); err != nil {
			t.Fatal(err)
		}
	}
	files := map[string]string{"lab/sda": "table", "lab/empty": "", "lab/deep/x": string(make([]byte, 3*mib+1))}
	for name, text := range files {
		if err := store.WriteFile(from, name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	n, err := SizeOf(from, "lab")
	if err != nil || n != 3*mib+6 {
		t.Errorf("%d bytes, %v", n, err)
	}
	m := &progress.Meter{}
	if err := CopyImage(t.Context(), from, to, "lab", m); err != nil {
		t.Fatal(err)
	}
	if m.Done() != 2*n {
		t.Errorf("%d bytes were counted of %d", m.Done(), 2*n)
	}
	for name, text := range files {
		if got, err := store.ReadFile(to, name, 8*mib); err != nil || string(got) != text {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	if err := CopyImage(t.Context(), from, to, "lab", m); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over an image of that name: %v", err)
	}
	if err := CopyImage(t.Context(), from, to, "none", m); err == nil {
		t.Error("what does not exist was copied")
	}
	if list, err := to.List("."); err != nil || len(list) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
}
