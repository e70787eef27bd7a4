package chain

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
)

// Stream says what lies in a chain.
type Stream struct {
	First    int64 // cluster
	Clusters int64 // that the chain has, as measured: no more are followed
	Straight bool  // the clusters lie behind each other, the table is not asked
	Size     int64 // bytes
	Written  int64 // bytes; what is behind them reads as zeros
	Named    int64 // byte of the volume that names First, for errors
}

// maxMarks are the places of a chain that are kept, to go back to.
const maxMarks = 512

// Content is a stream opened for reading; several may read it at once.
type Content struct {
	v *Volume
	s Stream

	mu    sync.Mutex
	at    int64   // number of a cluster of the stream, from 0, …
	here  int64   // … and which one that is
	marks []int64 // every step-th cluster of the stream
	step  int64
}

var _ filesystem.Content = (*Content)(nil)

// Open opens a stream. Behind its clusters reading fails, if there should be
// more.
func (v *Volume) Open(s Stream) *Content {
	return &Content{v: v, s: s, here: s.First, marks: []int64{s.First}, step: 1}
}

// ended is the error of reading behind the last cluster.
func (c *Content) ended() error {
	return &filesystem.FormatError{Format: c.v.Format, Offset: c.v.Offset(max(c.s.First, 2)),
		What: fmt.Sprintf("a chain of %d clusters of %d bytes for %d bytes", c.s.Clusters, c.v.Cluster, c.s.Size)}
}

// ReadAt reads the stream.
func (c *Content) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("%s: reading at %d", c.v.Format, off)
	}
	if off >= c.s.Size {
		return 0, io.EOF
	}
	var end error
	if left := c.s.Size - off; int64(len(p)) > left {
		p, end = p[:left], io.EOF
	}
	for n < len(p) {
		rest := p[n:]
		if off >= c.s.Written {
			clear(rest)
			return len(p), end
		}
		rest = rest[:min(int64(len(rest)), c.s.Written-off)]
		inside := off % c.v.Cluster
		cluster, count, err := c.run(off/c.v.Cluster, c.v.Count(inside+int64(len(rest))))
		if err != nil {
			return n, err
		}
		rest = rest[:min(int64(len(rest)), count*c.v.Cluster-inside)]
		m, err := c.v.Reader.ReadAt(rest, c.v.Offset(cluster)+inside)
		n, off = n+m, off+int64(m)
		if m < len(rest) {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return n, fmt.Errorf("%s: reading %d bytes at %d: %w", c.v.Format, len(rest), c.v.Offset(cluster)+inside, err)
		}
	}
	return n, end
}

// Where is the byte of the volume where byte off of the stream lies; 0 where
// that is not known.
func (c *Content) Where(off int64) int64 {
	cluster, _, err := c.run(off/c.v.Cluster, 1)
	if err != nil {
		return 0
	}
	return c.v.Offset(cluster) + off%c.v.Cluster
}

// run gives the i-th cluster of the stream, and how many lie behind each other
// from there on, at most most.
func (c *Content) run(i, most int64) (cluster, count int64, err error) {
	most = min(most, c.s.Clusters-i)
	if most <= 0 {
		return 0, 0, c.ended()
	}
	if c.s.Straight {
		return c.s.First + i, most, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if i < c.at {
		k := min(i/c.step, int64(len(c.marks))-1)
		c.at, c.here = k*c.step, c.marks[k]
	}
	for c.at < i {
		if err := c.advance(); err != nil {
			return 0, 0, err
		}
	}
	cluster = c.here
	for count = 1; count < most; count++ {
		// An error here is met again by who reads on.
		if err := c.advance(); err != nil || c.here != cluster+count {
			break
		}
	}
	return cluster, count, nil
}

// advance goes to the next cluster. When there are too many marks, every
// second one is given up.
func (c *Content) advance() error {
	next, err := c.v.Next(c.here)
	if err != nil {
		return err
	}
	if next == 0 {
		return c.ended()
	}
	c.at, c.here = c.at+1, next
	if c.at != int64(len(c.marks))*c.step {
		return nil
	}
	c.marks = append(c.marks, next)
	if len(c.marks) == maxMarks {
		for i := range maxMarks / 2 {
			c.marks[i] = c.marks[2*i]
		}
		c.marks, c.step = c.marks[:maxMarks/2], 2*c.step
	}
	return nil
}

// Runs gives the runs of the stream in whole clusters, also where it ends within
// its last one. A stream that is not written to its end has a run that ends at
// that byte.
func (c *Content) Runs() iter.Seq2[filesystem.Run, error] {
	return func(yield func(filesystem.Run, error) bool) {
		cluster := c.s.First
		for i, need := int64(0), c.v.Count(c.s.Size); i < need; {
			if i >= c.s.Clusters {
				yield(filesystem.Run{}, c.ended())
				return
			}
			count, next, err := c.straight(cluster, min(need, c.s.Clusters)-i)
			if !c.give(i, cluster, count, yield) {
				return
			}
			if err != nil {
				yield(filesystem.Run{}, err)
				return
			}
			i, cluster = i+count, next
		}
	}
}

// straight counts the clusters that lie behind each other, at most most, and
// gives the one behind the last, 0 where there is none within most.
func (c *Content) straight(cluster, most int64) (count, next int64, err error) {
	if c.s.Straight {
		return most, 0, nil
	}
	for count = 1; count < most; count++ {
		if next, err = c.v.Next(cluster + count - 1); err == nil && next == 0 {
			err = c.ended()
		}
		if err != nil || next != cluster+count {
			return count, next, err
		}
	}
	return count, 0, nil
}

// give yields one run, in two where it is not written to its end.
func (c *Content) give(i, cluster, count int64, yield func(filesystem.Run, error) bool) bool {
	from, length, at := i*c.v.Cluster, count*c.v.Cluster, c.v.Offset(cluster)
	written := length
	if c.s.Written < c.s.Size {
		written = min(max(c.s.Written-from, 0), length)
	}
	for _, r := range []filesystem.Run{
		{Offset: from, Extent: extent.Extent{Offset: at, Length: written}},
		{Offset: from + written, Extent: extent.Extent{Offset: at + written, Length: length - written}, Unwritten: true},
	} {
		if r.Extent.Length > 0 && !yield(r, nil) {
			return false
		}
	}
	return true
}
