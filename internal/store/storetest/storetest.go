// Package storetest holds the acceptance suite that every store passes. It
// holds no store.
package storetest

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"testing"

	"doppel.live/internal/store"
)

// Run holds the empty stores that open gives against what package store promises.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	tests := []struct {
		name string
		run  func(*testing.T, store.Store)
	}{
		{"nothing before commit", testCommit},
		{"abort leaves nothing", testAbort},
		{"ranged reads", testRead},
		{"folders", testFolders},
		{"rename", testRename},
		{"remove", testRemove},
		{"names that lead out", testNames},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

func names(t *testing.T, s store.Store, folder string) []string {
	t.Helper()
	entries, err := s.List(folder)
	if err != nil {
		t.Fatal(err)
	}
	list := []string{}
	for _, e := range entries {
		list = append(list, e.Name)
	}
	return list
}

func write(t *testing.T, s store.Store, name, data string) {
	t.Helper()
	if err := store.WriteFile(s, name, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}

func wantData(t *testing.T, s store.Store, name, want string) {
	t.Helper()
	got, err := store.ReadFile(s, name, 1<<20)
	if err != nil || string(got) != want {
		t.Fatalf("%s: %q, %v; want %q", name, got, err, want)
	}
}

func testCommit(t *testing.T, s store.Store) {
	write(t, s, "a", "old")
	o, err := s.Create("a", 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Write([]byte("new")); err != nil {
		t.Fatal(err)
	}
	wantData(t, s, "a", "old")
	fresh, err := s.Create("b", 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(t, s, "."); len(got) != 1 {
		t.Fatalf("listed before commit: %q", got)
	}
	if _, err := s.Open("b"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("open before commit: %v", err)
	}
	if err := errors.Join(o.Commit(), fresh.Commit()); err != nil {
		t.Fatal(err)
	}
	wantData(t, s, "a", "new")
	wantData(t, s, "b", "")
	if err := o.Commit(); err == nil {
		t.Fatal("second commit: no error")
	}
	if err := o.Abort(); err != nil {
		t.Fatalf("abort after commit: %v", err)
	}
	wantData(t, s, "a", "new")
}

func testAbort(t *testing.T, s store.Store) {
	o, err := s.Create("a", 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Write(make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(o.Abort(), o.Abort()); err != nil {
		t.Fatal(err)
	}
	if got := names(t, s, "."); len(got) != 0 {
		t.Fatalf("left behind: %q", got)
	}
}

func testRead(t *testing.T, s store.Store) {
	want := make([]byte, 100_000)
	for i := range want {
		want[i] = byte(i * 7)
	}
	write(t, s, "a", string(want))
	r, err := s.Open("a")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if r.Size() != int64(len(want)) {
		t.Fatalf("size %d", r.Size())
	}
	got := make([]byte, 5000)
	if n, err := r.ReadAt(got, 70_000); n != len(got) || err != nil || !bytes.Equal(got, want[70_000:75_000]) {
		t.Fatalf("range: %d, %v", n, err)
	}
	if n, err := r.ReadAt(got, 99_000); n != 1000 || err != io.EOF {
		t.Fatalf("over the end: %d, %v", n, err)
	}
	if _, err := store.ReadFile(s, "a", 10); err == nil {
		t.Fatal("an object over the limit was read")
	}
}

func testFolders(t *testing.T, s store.Store) {
	if _, err := s.Create("f/a", 0o644); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("create without folder: %v", err)
	}
	if err := s.MakeFolder("f"); err != nil {
		t.Fatal(err)
	}
	if err := s.MakeFolder("f"); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("second folder: %v", err)
	}
	write(t, s, "f/a", "1")
	write(t, s, "b", "22")
	entries, err := s.List(".")
	if err != nil || len(entries) != 2 {
		t.Fatalf("%v, %v", entries, err)
	}
	if e := entries[0]; e.Name != "b" || e.Folder || !e.Regular || e.Size != 2 {
		t.Fatalf("%+v", e)
	}
	if e := entries[1]; e.Name != "f" || !e.Folder || e.Regular {
		t.Fatalf("%+v", e)
	}
	if _, err := s.Open("f"); !errors.Is(err, store.ErrNotFile) {
		t.Fatalf("open of a folder: %v", err)
	}
	if _, err := s.Create("f", 0o644); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("create over a folder: %v", err)
	}
	if _, err := s.List("none"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("list of nothing: %v", err)
	}
}

func testRename(t *testing.T, s store.Store) {
	for _, f := range []string{"f", "ff"} {
		if err := s.MakeFolder(f); err != nil {
			t.Fatal(err)
		}
		write(t, s, f+"/a", f)
	}
	if err := s.Rename("f", "ff"); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("rename onto another: %v", err)
	}
	if err := s.Rename("none", "g"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("rename of nothing: %v", err)
	}
	if err := s.Rename("f", "g"); err != nil {
		t.Fatal(err)
	}
	wantData(t, s, "g/a", "f")
	wantData(t, s, "ff/a", "ff")
	if _, err := s.Open("f/a"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("old name: %v", err)
	}
}

func testRemove(t *testing.T, s store.Store) {
	if err := s.Remove("none"); err != nil {
		t.Fatalf("remove of nothing: %v", err)
	}
	if err := s.MakeFolder("f"); err != nil {
		t.Fatal(err)
	}
	write(t, s, "f/a", "1")
	write(t, s, "fa", "2")
	if _, err := s.Create("f/b", 0o644); err != nil { // as left by a crash
		t.Fatal(err)
	}
	if err := s.Remove("f"); err != nil {
		t.Fatal(err)
	}
	if got := names(t, s, "."); len(got) != 1 || got[0] != "fa" {
		t.Fatalf("left: %q", got)
	}
}

func testNames(t *testing.T, s store.Store) {
	bad := []string{"", ".", "..", "../a", "a/../../b", "/a", "a//b", "a/", "a\x00b", "a\nb", "a\\b", "\xff", "f/.."}
	for _, name := range bad {
		_, errCreate := s.Create(name, 0o644)
		_, errOpen := s.Open(name)
		errs := []error{errCreate, errOpen, s.MakeFolder(name), s.Rename(name, "x"), s.Rename("x", name), s.Remove(name)}
		for i, err := range errs {
			if !errors.Is(err, store.ErrName) {
				t.Errorf("%q, operation %d: %v", name, i, err)
			}
		}
	}
}
