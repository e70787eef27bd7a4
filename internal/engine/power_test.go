package engine

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"doppel.live/internal/filesystem/probe"
	"doppel.live/internal/image"
	"doppel.live/internal/partition"
	"doppel.live/internal/plan"
	"doppel.live/internal/progress"
)

// recorder is a disk that remembers what was written between two flushes.
type recorder struct {
	*disk
	order  sync.Mutex // several goroutines write
	epochs [][]held   // the last one was not flushed
}

func (r *recorder) WriteAt(p []byte, off int64) (int, error) {
	r.order.Lock()
	defer r.order.Unlock()
	last := &r.epochs[len(r.epochs)-1]
	*last = append(*last, held{off, bytes.Clone(p)})
	return r.disk.WriteAt(p, off)
}

func (r *recorder) Sync() error {
	r.order.Lock()
	defer r.order.Unlock()
	if len(r.epochs[len(r.epochs)-1]) > 0 {
		r.epochs = append(r.epochs, nil)
	}
	return nil
}

// The power goes at any moment of a restore: what was flushed is there, of what
// was written since any part is, the last sectors torn. Nothing on the target
// looks whole then that is not, whether it is a table or a file system; what is
// recognised has all its data but, perhaps, other copies of its signature.
func TestPowerCut(t *testing.T) {
	for _, c := range []struct {
		scheme string
		only   []string
	}{{"gpt", nil}, {"mbr", nil}, {"none", nil}, {"gpt", []string{"sda2"}}, {"mbr", []string{"sda5"}}} {
		t.Run(fmt.Sprint(c.scheme, c.only), func(t *testing.T) {
			source := makeDisk(t, c.scheme)
			was := makeDisk(t, c.scheme) // the same volumes with other UUIDs
			im := save(t, source, Choice{})
			r := &recorder{disk: newDisk(int64(len(source)), 0), epochs: [][]held{nil}}
			copy(r.bytes, was)
			p, present := planFor(t, im, r.disk, c.only...)
			if _, err := Restore(context.Background(), reading{im}, []Job{{p, r, present}}, RestoreOptions{}, &progress.Meter{}); err != nil {
				t.Fatal(err)
			}
			cut := &powerCut{t: t, now: was, final: r.bytes, plan: p}
			cut.replay(r.epochs)
			if cut.whole == 0 || cut.nothing == 0 {
				t.Errorf("of all states %d have something whole and %d nothing", cut.whole, cut.nothing)
			}
		})
	}
}

// powerCut goes through what a target may hold after the power was cut.
type powerCut struct {
	t              *testing.T
	now, final     []byte
	plan           *plan.Restore
	whole, nothing int // states seen in which something is whole, or nothing is
}

func (c *powerCut) replay(epochs [][]held) {
	random := rand.New(rand.NewPCG(1, 2))
	for i, writes := range epochs {
		for n := range writes {
			if i == 0 {
				break // until what the target was is wiped, it may be that
			}
			some := random.Perm(len(writes))[:1+random.IntN(len(writes))]
			c.state(i, writes[:n], 1<<30)
			c.state(i, writes[:n+1], 512*random.Int64N(1+int64(len(writes[n].Data))/512))
			c.state(i, writes[n:], 1<<30) // the first ones are lost
			c.state(i, pick(writes, some), 1<<30)
		}
		for _, w := range writes {
			copy(c.now[w.Offset:], w.Data)
		}
	}
	c.check(len(epochs))
}

func pick(writes []held, which []int) (some []held) {
	for _, i := range which {
		some = append(some, writes[i])
	}
	return some
}

// state looks at the target with some of an epoch's writes, of the last of
// which torn bytes came.
func (c *powerCut) state(epoch int, writes []held, torn int64) {
	undo := make([][]byte, len(writes))
	for i, w := range writes {
		undo[i] = bytes.Clone(c.now[w.Offset : w.Offset+int64(len(w.Data))])
		n := int64(len(w.Data))
		if i == len(writes)-1 {
			n = min(n, torn)
		}
		copy(c.now[w.Offset:], w.Data[:n])
	}
	c.check(epoch)
	for i := len(writes) - 1; i >= 0; i-- {
		copy(c.now[writes[i].Offset:], undo[i])
	}
}

func (c *powerCut) check(epoch int) {
	c.t.Helper()
	table, err := partition.Read(bytes.NewReader(c.now), int64(len(c.now)), 512)
	if err != nil {
		c.t.Fatal(err)
	}
	all := c.plan.WholeDisk && table.Scheme != partition.None && len(table.Partitions) > 0
	seen := false
	for _, s := range c.plan.Steps {
		now, final := c.now[s.TargetOffset:s.TargetOffset+s.Size], c.final[s.TargetOffset:s.TargetOffset+s.Size]
		found, err := probe.Probe(bytes.NewReader(now), s.Size)
		if err != nil {
			c.t.Fatal(err)
		}
		known := found.Info.Type != "" || len(found.Ambiguous) > 0
		if seen = seen || known; s.Method == image.Absent || !known && !all {
			continue
		}
		if !bytes.Equal(unsigned(c.t, now, final), unsigned(c.t, final, final)) {
			c.t.Errorf("after %d flushes %s looks like %q, table %v, and is not whole", epoch, s.Volume, found.Info.Type, table.Scheme)
		}
	}
	if all || seen {
		c.whole++
	} else {
		c.nothing++
	}
}

// unsigned is a volume without the signatures that it has in the end.
func unsigned(t *testing.T, volume, final []byte) []byte {
	t.Helper()
	found, err := probe.Signatures(io.NewSectionReader(bytes.NewReader(final), 0, int64(len(final))), int64(len(final)))
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		return volume
	}
	volume = bytes.Clone(volume)
	for _, s := range found {
		clear(volume[s.Offset : s.Offset+s.Length])
	}
	return volume
}
