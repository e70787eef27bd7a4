package sftp

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"doppel.live/internal/store"
	"doppel.live/internal/store/storetest/sshd"
)

// proxy passes connections on to a server and cuts each of them after a number
// of bytes of its own, or lets it stand still.
type proxy struct {
	listener net.Listener
	to       string
	random   *rand.Rand
	mu       sync.Mutex
	least    int64 // bytes that pass before a cut
	most     int64
	cuts     atomic.Int64
	stalled  atomic.Bool // nothing passes any more on connections that are there
}

func newProxy(t *testing.T, to string, seed uint64) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, to: to, random: rand.New(rand.NewPCG(seed, 0)), least: 1 << 62, most: 1<<62 + 1}
	t.Cleanup(func() { l.Close() })
	go p.run()
	return p
}

func (p *proxy) port() int { return p.listener.Addr().(*net.TCPAddr).Port }

func (p *proxy) limits(least, most int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.least, p.most = least, most
}

func (p *proxy) run() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.to)
		if err != nil {
			in.Close()
			continue
		}
		p.mu.Lock()
		left := new(atomic.Int64)
		left.Store(p.least + p.random.Int64N(p.most-p.least))
		p.mu.Unlock()
		go p.pass(in, out, left)
		go p.pass(out, in, left)
	}
}

// pass copies one direction. Cut bytes are cut anywhere in a packet.
func (p *proxy) pass(from, to net.Conn, left *atomic.Int64) {
	defer from.Close()
	defer to.Close()
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if p.stalled.Load() {
			_, _ = io.Copy(io.Discard, from) // takes all, answers nothing
			return
		}
		if over := left.Add(-int64(n)); over < 0 {
			n = max(0, n+int(over))
			_, _ = to.Write(buf[:n])
			p.cuts.Add(1)
			return
		}
		if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

// Connections are cut at random bytes while objects are written, listed, read,
// renamed and removed. What is there in the end is right.
func TestConnectionsThatAreCut(t *testing.T) {
	server := sshd.Start(t)
	seeds := uint64(2)
	if os.Getenv("DOPPEL_SOAK") != "" {
		seeds = 40
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			p := newProxy(t, server.Address(), seed)
			folder := t.TempDir()
			o := options(server, folder)
			o.Location.Port, o.Away = p.port(), 60*time.Second
			s := open(t, o)
			p.limits(100<<10, 3<<20)
			s.drop(s.now)
			rounds := 3
			for i := range rounds {
				name := fmt.Sprintf("f%d", i)
				if err := s.MakeFolder(name); err != nil {
					t.Fatal(err)
				}
				data := noise(6<<20+i*1000, seed)
				if err := store.WriteFile(s, name+"/a", data, 0o644); err != nil {
					t.Fatal(err)
				}
				if err := s.Rename(name, name+"x"); err != nil {
					t.Fatal(err)
				}
				got, err := store.ReadFile(s, name+"x/a", 1<<30)
				if err != nil || !bytes.Equal(got, data) {
					t.Fatalf("read: %v", err)
				}
			}
			for i := range rounds {
				name := fmt.Sprintf("f%dx", i)
				there, err := os.ReadFile(filepath.Join(folder, name, "a"))
				if err != nil || !bytes.Equal(there, noise(6<<20+i*1000, seed)) {
					t.Errorf("%s is not what was written: %v", name, err)
				}
				if list, _ := os.ReadDir(filepath.Join(folder, name)); len(list) != 1 {
					t.Errorf("left behind: %v", list)
				}
				if err := s.Remove(name); err != nil {
					t.Error(err)
				}
			}
			if list, _ := os.ReadDir(folder); len(list) != 0 {
				t.Errorf("not removed: %v", list)
			}
			if p.cuts.Load() < 10 {
				t.Errorf("only %d cuts", p.cuts.Load())
			}
			t.Logf("%d cuts", p.cuts.Load())
		})
	}
}

// Small operations on connections that live for a few of them only: the cut
// falls between the doing and the answer, too.
func TestOperationsThatAreCut(t *testing.T) {
	server := sshd.Start(t)
	p := newProxy(t, server.Address(), 7)
	o := options(server, t.TempDir())
	o.Location.Port, o.Away = p.port(), 60*time.Second
	s := open(t, o)
	p.limits(8000, 14000) // a login takes about 7,000
	s.drop(s.now)
	var want []string
	for i := range 12 {
		name := fmt.Sprintf("n%02d", i)
		if err := store.WriteFile(s, name, []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := s.Rename(name, "x"+name); err != nil {
			t.Fatal(err)
		}
		if want = append(want, "x"+name); i%3 == 0 {
			if err := s.MakeFolder("y" + name); err != nil {
				t.Fatal(err)
			}
			if err := s.Remove("y" + name); err != nil {
				t.Fatal(err)
			}
		}
	}
	entries, err := s.List(".")
	var got []string
	for _, e := range entries {
		got = append(got, e.Name)
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	t.Logf("%d cuts", p.cuts.Load())
	if p.cuts.Load() < 5 {
		t.Errorf("only %d cuts", p.cuts.Load())
	}
}

// A peer that takes everything and says nothing is noticed.
func TestDeadPeer(t *testing.T) {
	server := sshd.Start(t)
	p := newProxy(t, server.Address(), 1)
	o := options(server, t.TempDir())
	o.Location.Port, o.Silence = p.port(), 500*time.Millisecond
	s, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p.stalled.Store(true)
	answered := make(chan error, 1)
	go func() {
		_, err := s.List(".")
		answered <- err
	}()
	s.mu.Lock()
	first := s.now
	s.mu.Unlock()
	select {
	case <-first.done:
	case <-time.After(20 * time.Second):
		t.Fatal("a dead peer was not noticed")
	}
	p.stalled.Store(false)
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
}
