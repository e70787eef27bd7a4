package chain

import (
	"fmt"
	"io"
	"sync"

	"doppel.live/internal/filesystem"
)

const (
	windowSize = 4 << 10 // bytes
	windows    = 256
)

// Cache gives single entries of tables and keeps the pieces that they lie in, at
// most 1 MiB. What it reads does not change.
type Cache struct {
	r  io.ReaderAt
	mu sync.Mutex
	// Window n of r lies at n mod windows.
	windows [windows]window
}

type window struct {
	number int64  // from 1; 0: nothing was read
	p      []byte // short at the end of r
}

// NewCache makes an empty cache of r.
func NewCache(r io.ReaderAt) *Cache { return &Cache{r: r} }

// Uint gives the number of n bytes at off, n up to 8, the lowest byte first.
func (c *Cache) Uint(off, n int64) (value uint64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range n {
		at := off + i
		w, err := c.window(at / windowSize)
		if err != nil || at%windowSize >= int64(len(w)) {
			// Of a window that cannot be read, the number may be.
			return c.plain(off, n)
		}
		value |= uint64(w[at%windowSize]) << uint(8*i)
	}
	return value, nil
}

// plain reads a number past the cache.
func (c *Cache) plain(off, n int64) (value uint64, err error) {
	p := make([]byte, n)
	if err := filesystem.ReadFull(c.r, p, off); err != nil {
		return 0, fmt.Errorf("reading %d bytes at %d: %w", n, off, err)
	}
	for i, b := range p {
		value |= uint64(b) << uint(8*i)
	}
	return value, nil
}

func (c *Cache) window(n int64) ([]byte, error) {
	w := &c.windows[n%windows]
	if w.number == n+1 {
		return w.p, nil
	}
	if w.p == nil {
		w.p = make([]byte, windowSize)
	}
	w.p = w.p[:windowSize]
	w.number = 0
	m, err := c.r.ReadAt(w.p, n*windowSize)
	if m < windowSize && err != nil && err != io.EOF {
		return nil, err
	}
	w.p, w.number = w.p[:m], n+1
	return w.p, nil
}
