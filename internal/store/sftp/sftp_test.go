package sftp

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"doppel.live/internal/store"
	"doppel.live/internal/store/remote"
	"doppel.live/internal/store/storetest"
	"doppel.live/internal/store/storetest/sshd"
)

// options reach a folder of a server, without long waits.
func options(s *sshd.Server, folder string) Options {
	return Options{Location: s.Location(folder), Credentials: s.Credentials(), Away: 20 * time.Second, Handshake: 10 * time.Second}
}

func open(t testing.TB, opts Options) *Store {
	t.Helper()
	s, err := Open(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// noise is data that no server shortens.
func noise(n int, seed uint64) []byte {
	data := make([]byte, n)
	random := rand.NewChaCha8([32]byte{byte(seed)})
	_, _ = random.Read(data)
	return data
}

func TestSFTP(t *testing.T) {
	server := sshd.Start(t)
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, options(server, t.TempDir())) })
}

// wantReason wants an error with a reason and with what to do.
func wantReason(t *testing.T, err error, reason remote.Reason) *remote.Error {
	t.Helper()
	var e *remote.Error
	if !errors.As(err, &e) || e.Reason != reason || e.Next == "" {
		t.Fatalf("%#v, want %s", err, reason)
	}
	return e
}

func TestReasons(t *testing.T) {
	server := sshd.Start(t)
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	other := sshd.Start(t)
	for _, test := range []struct {
		name   string
		change func(o *Options)
		want   remote.Reason
	}{
		{"no folder", func(o *Options) { o.Location.Path = folder + "/none" }, remote.NoFolder},
		{"a file", func(o *Options) { o.Location.Path = file }, remote.NoFolder},
		{"another key", func(o *Options) { o.Credentials.Key = remote.NewSecret(other.Key) }, remote.Denied},
		{"wrong password", func(o *Options) { o.Credentials = remote.Credentials{Password: remote.NewSecret("wrong")} }, remote.Denied},
		{"no credentials", func(o *Options) { o.Credentials = remote.Credentials{} }, remote.Denied},
		{"not a key", func(o *Options) { o.Credentials.Key = remote.NewSecret("hush hush") }, remote.Denied},
		{"nobody", func(o *Options) { o.Credentials.User = "no-such-user" }, remote.Denied},
		{"no service", func(o *Options) { o.Location.Port = 1 }, remote.Refused},
		{"unknown name", func(o *Options) { o.Location.Host = "no-such-host.invalid" }, remote.UnknownName},
		{"unknown key", func(o *Options) { o.Location.HostKey = "" }, remote.NewKey},
		{"changed key", func(o *Options) { o.Location.HostKey = other.Fingerprint }, remote.OtherKey},
		{"changed key in the credentials", func(o *Options) { o.Credentials.HostKey = other.Fingerprint }, remote.OtherKey},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := options(server, folder)
			test.change(&o)
			s, err := Open(context.Background(), o)
			if err == nil {
				s.Close()
			}
			if test.want == remote.UnknownName && isReason(err, remote.NoRoute) {
				t.Skip("no name server here: ", err)
			}
			e := wantReason(t, err, test.want)
			if strings.Contains(e.Error()+e.Next, "hush") {
				t.Errorf("the error tells the key: %v", e)
			}
			if keyed := e.Reason == remote.NewKey || e.Reason == remote.OtherKey; keyed && e.Fingerprint != server.Fingerprint {
				t.Errorf("fingerprint %q, want %q", e.Fingerprint, server.Fingerprint)
			}
		})
	}
}

func isReason(err error, reason remote.Reason) bool {
	var e *remote.Error
	return errors.As(err, &e) && e.Reason == reason
}

func TestKnownHosts(t *testing.T) {
	server := sshd.Start(t)
	folder := t.TempDir()
	record := filepath.Join(t.TempDir(), "doppel", "known_hosts")
	o := options(server, folder)
	o.Location.HostKey = ""
	var asked []Key
	o.Keys = HostKeys{Files: []string{"/does/not/exist"}, Record: record, Consent: func(k Key) bool { asked = append(asked, k); return true }}
	open(t, o)
	if len(asked) != 1 || asked[0].Fingerprint != server.Fingerprint || asked[0].Kind != "ssh-ed25519" {
		t.Fatalf("asked about %+v", asked)
	}
	open(t, o) // known now
	if len(asked) != 1 {
		t.Fatal("asked again")
	}
	strange := filepath.Join(t.TempDir(), "strange")
	if err := os.WriteFile(strange, []byte("host future-key AAAA!\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o.Keys = HostKeys{Files: []string{strange, record}}
	open(t, o)
	server.Kill()
	server.NewHostKey()
	server.Run()
	_, err := Open(context.Background(), o)
	if e := wantReason(t, err, remote.OtherKey); e.Fingerprint != server.Fingerprint || !strings.Contains(e.What, record) {
		t.Errorf("%+v", e)
	}
}

func TestNoLinksAreFollowed(t *testing.T) {
	server := sshd.Start(t)
	folder, outside := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Symlink(filepath.Join(outside, "secret"), filepath.Join(folder, "file")), os.Symlink(outside, filepath.Join(folder, "dir"))); err != nil {
		t.Fatal(err)
	}
	s := open(t, options(server, folder))
	if _, err := s.Open("file"); !errors.Is(err, store.ErrNotFile) {
		t.Errorf("open of a link: %v", err)
	}
	if _, err := s.Open("dir/secret"); err == nil {
		t.Error("a linked folder was read")
	}
	if _, err := s.Create("dir/new", 0o600); err == nil {
		t.Error("a linked folder was written to")
	}
	if _, err := s.List("dir"); err == nil {
		t.Error("a linked folder was listed")
	}
	if err := errors.Join(s.Remove("dir"), s.Remove("file")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(outside, "secret")); err != nil {
		t.Error("removing a link removed what it points to")
	}
}

func TestModesAndFree(t *testing.T) {
	server := sshd.Start(t)
	folder := t.TempDir()
	s := open(t, options(server, folder))
	if err := store.WriteFile(s, "a", []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(filepath.Join(folder, "a")); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	if free, err := s.Free(); err != nil || free <= 0 {
		t.Errorf("free %d, %v", free, err)
	}
	if s.ReadOnly() {
		t.Error("read-only")
	}
	if list, _ := os.ReadDir(folder); len(list) != 1 {
		t.Errorf("left behind: %v", list)
	}
}

func TestServerThatOnlyReads(t *testing.T) {
	server := sshd.Start(t, "-R")
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "a"), []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, options(server, folder))
	if !s.ReadOnly() {
		t.Error("it can be written to?")
	}
	if _, err := s.Create("b", 0o600); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("create: %v", err)
	}
	if err := s.MakeFolder("f"); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("folder: %v", err)
	}
	if data, err := store.ReadFile(s, "a", 100); err != nil || string(data) != "data" {
		t.Errorf("%q, %v", data, err)
	}
}

// The server is killed while an object is written, and while it is read.
func TestGoesOnWhenTheServerIsBack(t *testing.T) {
	server := sshd.Start(t)
	var told []string
	o := options(server, t.TempDir())
	o.Tell = func(text string) { told = append(told, text) }
	s := open(t, o)
	data := noise(20<<20+12345, 1)
	w, err := s.Create("a", 0o644)
	if err != nil {
		t.Fatal(err)
	}
	half := len(data) / 2
	if _, err := w.Write(data[:half]); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	back := make(chan struct{})
	go func() {
		defer close(back)
		time.Sleep(time.Second) // it is away
		server.Run()
	}()
	if _, err := w.Write(data[half:]); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	<-back
	r, err := s.Open("a")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got := make([]byte, len(data))
	if _, err := r.ReadAt(got[:half], 0); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	server.Run()
	if _, err := r.ReadAt(got[half:], int64(half)); err != nil || !bytes.Equal(got, data) {
		t.Fatal("after the second kill: ", err)
	}
	if len(told) < 4 || !strings.Contains(told[0], "lost") || !strings.Contains(told[1], "again") {
		t.Errorf("told %q", told)
	}
}

func TestServerStaysAway(t *testing.T) {
	server := sshd.Start(t)
	folder := t.TempDir()
	o := options(server, folder)
	o.Away = time.Second
	s := open(t, o)
	w, err := s.Create("a", 0o644)
	if err != nil {
		t.Fatal(err)
	}
	server.Kill()
	_, err = w.Write(noise(40<<20, 2))
	err = errors.Join(err, w.Commit())
	if e := wantReason(t, err, remote.Refused); !strings.Contains(e.What, "was away") {
		t.Error(e.What)
	}
	server.Run()
	if _, err := s.List("."); err == nil {
		t.Error("a store that was given up works")
	}
}

func TestCancelEndsWaiting(t *testing.T) {
	server := sshd.Start(t)
	ctx, cancel := context.WithCancel(context.Background())
	s, err := Open(ctx, options(server, t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w, err := s.Create("a", 0o644)
	if err != nil {
		t.Fatal(err)
	}
	server.Kill()
	time.AfterFunc(100*time.Millisecond, cancel)
	_, err = w.Write(noise(40<<20, 2))
	if err = errors.Join(err, w.Commit()); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// Cancelled, it still removes what it has begun.
func TestAbortAfterCancel(t *testing.T) {
	server := sshd.Start(t)
	ctx, cancel := context.WithCancel(context.Background())
	folder := t.TempDir()
	s, err := Open(ctx, options(server, folder))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w, err := s.Create("a", 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(noise(1<<20, 2)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := w.Abort(); err != nil {
		t.Error(err)
	}
	if list, _ := os.ReadDir(folder); len(list) != 0 {
		t.Errorf("left behind: %v", list)
	}
}

func TestReconnectIsFinalWhenTheKeyChanged(t *testing.T) {
	server := sshd.Start(t)
	s := open(t, options(server, t.TempDir()))
	server.Kill()
	server.NewHostKey()
	server.Run()
	began := time.Now()
	_, err := s.List(".")
	wantReason(t, err, remote.OtherKey)
	if time.Since(began) > 10*time.Second {
		t.Error("it was tried for long")
	}
}

// What the server had acknowledged is gone, or is something else, when it is
// back: no object comes of it.
func TestServerThatForgets(t *testing.T) {
	for _, test := range []struct {
		name   string
		forget func(path string, size int64) error
	}{
		{"all", func(path string, _ int64) error { return os.Remove(path) }},
		{"the end", func(path string, size int64) error { return os.Truncate(path, size/2) }},
		{"zeros", func(path string, size int64) error {
			return errors.Join(os.Truncate(path, size-3<<20), os.Truncate(path, size))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := sshd.Start(t)
			folder := t.TempDir()
			s := open(t, options(server, folder))
			data := noise(8<<20, 3)
			w, err := s.Create("a", 0o644)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(data); err != nil {
				t.Fatal(err)
			}
			o := w.(*object)
			o.sending.Wait()
			server.Kill()
			found, _ := filepath.Glob(filepath.Join(folder, temporary+"*"))
			if len(found) != 1 {
				t.Fatal(found)
			}
			if err := test.forget(found[0], o.acked.first()); err != nil {
				t.Fatal(err)
			}
			server.Run()
			_, err = w.Write(data[:1<<20])
			if err = errors.Join(err, w.Commit()); !errors.Is(err, errLost) {
				t.Fatalf("%v", err)
			}
			if _, err := s.Open("a"); !errors.Is(err, fs.ErrNotExist) {
				t.Fatalf("an object came of it: %v", err)
			}
			if list, _ := os.ReadDir(folder); len(list) != 0 {
				t.Errorf("left behind: %v", list)
			}
		})
	}
}

func TestChangedWhileRead(t *testing.T) {
	server := sshd.Start(t)
	folder := t.TempDir()
	s := open(t, options(server, folder))
	data := noise(64<<20, 4)
	if err := os.WriteFile(filepath.Join(folder, "a"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := s.Open("a")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := os.Truncate(filepath.Join(folder, "a"), 1<<20); err != nil {
		t.Fatal(err)
	}
	if _, err := r.ReadAt(make([]byte, 10), 50<<20); !errors.Is(err, ErrChanged) {
		t.Errorf("cut: %v", err)
	}
	server.Kill()
	server.Run()
	if _, err := r.ReadAt(make([]byte, 10), 0); !errors.Is(err, ErrChanged) {
		t.Errorf("another file: %v", err)
	}
}

func TestRanges(t *testing.T) {
	var r ranges
	for _, step := range []struct{ from, to, first int64 }{{10, 20, 0}, {30, 40, 0}, {0, 5, 5}, {5, 10, 20}, {20, 30, 40}, {50, 60, 40}, {40, 50, 60}} {
		if r.add(step.from, step.to); r.first() != step.first {
			t.Errorf("after %v: %v", step, r)
		}
	}
	if len(r) != 1 {
		t.Error(r)
	}
}

func TestOrderlyEnd(t *testing.T) {
	server := sshd.Start(t)
	s := open(t, options(server, t.TempDir()))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.List("."); !errors.Is(err, fs.ErrClosed) {
		t.Error(err)
	}
}
