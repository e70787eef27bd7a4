package sftp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"sync"

	"github.com/pkg/sftp"
	"github.com/zeebo/xxh3"

	"doppel.live/internal/store"
)

const (
	chunkSize = largePacket
	chunks    = 32      // that one object may have under way: what is kept until it is acknowledged
	segment   = 1 << 20 // bytes that have one sum
)

// errLost is an object whose data the server does not have any more.
var errLost = errors.New("the server lost a part of what it had taken")

// object is an object being written. Each of its chunks is kept until the
// server has acknowledged it, and sent again on the next connection else.
type object struct {
	handle
	store   *Store
	ctx     context.Context // ends with Abort
	stop    context.CancelFunc
	pending string // paths
	path    string
	name    string
	mode    fs.FileMode

	chunk   []byte       // being filled
	free    chan []byte  // buffers
	offset  int64        // of the chunk's first byte
	sums    []uint64     // of the segments, for reading back
	summing *xxh3.Hasher // of the segment that is not full
	summed  int64        // bytes
	sending sync.WaitGroup
	done    bool

	mu       sync.Mutex
	failed   error
	acked    ranges
	made     bool  // the file was made
	doubtful int64 // bytes that were acknowledged before the connection was lost
}

// Create implements store.Store.
func (s *Store) Create(name string, mode fs.FileMode) (store.Object, error) {
	if err := store.CheckName(name); err != nil {
		return nil, err
	}
	o := &object{store: s, name: name, path: s.path(name), mode: mode, summing: xxh3.New(), free: make(chan []byte, chunks)}
	o.pending = path.Join(path.Dir(o.path), newTemporary())
	o.ctx, o.stop = context.WithCancel(s.ctx)
	o.handle.open = o.openFile
	for range chunks {
		o.free <- nil
	}
	err := s.do(s.ctx, func(c *connection) error {
		if err := s.parents(c, name); err != nil {
			return err
		}
		if info, err := c.sftp.Lstat(o.path); err == nil && !info.Mode().IsRegular() {
			return fmt.Errorf("%s: %w", name, fs.ErrExist)
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return s.checked(c, name, err)
		}
		_, err := o.handle.at(c)
		return err
	})
	if err != nil {
		o.stop()
		return nil, err
	}
	return o, nil
}

// openFile makes the file, or opens it on another connection. What the server
// has acknowledged must be there.
func (o *object) openFile(c *connection) (*sftp.File, error) {
	o.mu.Lock()
	made, want := o.made, o.acked.first()
	o.mu.Unlock()
	flags := os.O_WRONLY
	if !made {
		flags |= os.O_CREATE // its name is random: what is there is ours
	}
	file, err := c.sftp.OpenFile(o.pending, flags)
	if made && errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w: all of it", o.name, errLost)
	}
	if err != nil {
		return nil, denied(o.name, o.store.checked(c, o.name, err))
	}
	if !made {
		// A server whose file system knows no modes has its own.
		if err := file.Chmod(o.mode.Perm()); err != nil && c.lost(err) {
			return nil, err
		}
		o.mu.Lock()
		o.made = true
		o.mu.Unlock()
		return file, nil
	}
	info, err := file.Stat()
	if err == nil && info.Size() < want {
		err = fmt.Errorf("%w: %d bytes are there of %d", errLost, info.Size(), want)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.name, err)
	}
	o.mu.Lock()
	o.doubtful = o.acked.end()
	o.mu.Unlock()
	return file, nil
}

// Write implements store.Object. It returns when all is on its way, or waits
// for room among what is.
func (o *object) Write(p []byte) (n int, err error) {
	if o.done {
		return 0, fs.ErrClosed
	}
	for len(p) > 0 {
		if err := o.failure(); err != nil {
			return n, err
		}
		if o.chunk == nil {
			if o.chunk = <-o.free; o.chunk == nil {
				o.chunk = make([]byte, 0, chunkSize)
			}
		}
		k := min(len(p), chunkSize-len(o.chunk))
		o.chunk = append(o.chunk, p[:k]...)
		o.sum(p[:k])
		if n, p = n+k, p[k:]; len(o.chunk) == chunkSize {
			o.send()
		}
	}
	return n, nil
}

// sum adds bytes to the sums of the segments.
func (o *object) sum(p []byte) {
	for len(p) > 0 {
		k := min(int64(len(p)), segment-o.summed%segment)
		_, _ = o.summing.Write(p[:k])
		if o.summed += k; o.summed%segment == 0 {
			o.endSegment()
		}
		p = p[k:]
	}
}

func (o *object) endSegment() {
	o.sums = append(o.sums, o.summing.Sum64())
	o.summing.Reset()
}

func (o *object) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.failed
}

// send sends the chunk.
func (o *object) send() {
	chunk, off := o.chunk, o.offset
	o.chunk, o.offset = nil, off+int64(len(chunk))
	o.sending.Go(func() {
		err := o.store.do(o.ctx, func(c *connection) error {
			file, err := o.handle.at(c)
			if err == nil {
				err = c.packet(o.ctx, func() error {
					_, err := file.WriteAt(chunk, off)
					return err
				})
			}
			if err == nil || c.lost(err) {
				return err
			}
			return o.store.checked(c, o.name, err)
		})
		o.mu.Lock()
		if err == nil {
			o.acked.add(off, off+int64(len(chunk)))
		} else if o.failed == nil {
			o.failed = err
		}
		o.mu.Unlock()
		o.free <- chunk[:0]
	})
}

// Commit implements store.Object.
func (o *object) Commit() error {
	if o.done {
		return fs.ErrClosed
	}
	if len(o.chunk) > 0 {
		o.send()
	}
	if o.summed%segment > 0 {
		o.endSegment()
	}
	o.sending.Wait()
	err := o.failure()
	if err == nil {
		err = o.store.do(o.ctx, o.sync)
	}
	if err == nil {
		err = o.readBack()
	}
	if err == nil {
		renaming := false
		err = o.store.do(o.ctx, func(c *connection) error { return o.rename(c, &renaming) })
	}
	if err != nil {
		o.Abort()
		return err
	}
	o.done = true
	o.stop()
	return nil
}

// sync brings the file to the medium, where the server can say when it is there.
func (o *object) sync(c *connection) error {
	file, err := o.handle.at(c)
	if _, ok := c.sftp.HasExtension("fsync@openssh.com"); err != nil || !ok {
		return err
	}
	return o.store.checked(c, o.name, file.Sync())
}

// rename closes the file and gives it its name, on one connection. renaming is
// set once the server may have done the last step.
func (o *object) rename(c *connection, renaming *bool) error {
	if *renaming {
		_, err := c.sftp.Lstat(o.pending)
		if info, there := c.sftp.Lstat(o.path); errors.Is(err, fs.ErrNotExist) && there == nil && info.Mode().IsRegular() && info.Size() == o.offset {
			return nil
		}
	}
	file, err := o.handle.at(c)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err == nil && info.Size() != o.offset {
		err = fmt.Errorf("%w: %d bytes are there of %d", errLost, info.Size(), o.offset)
	}
	if err == nil {
		err = o.handle.close(c)
	}
	if err != nil {
		return o.store.checked(c, o.name, err)
	}
	*renaming = true
	return denied(o.name, o.store.checked(c, o.name, replace(c, o.pending, o.path)))
}

// readBack compares the file with what was written before the connection was
// lost, if it was: a server that lost its power may have acknowledged what
// never came to its disk.
func (o *object) readBack() error {
	o.mu.Lock()
	doubtful := o.doubtful
	o.mu.Unlock()
	if doubtful == 0 {
		return nil
	}
	h := &handle{open: func(c *connection) (*sftp.File, error) { return c.sftp.Open(o.pending) }}
	r := o.store.ahead(o.ctx, h, o.name, o.offset)
	defer r.Close()
	buf := make([]byte, segment)
	for i, want := range o.sums {
		off := int64(i) * segment
		if off >= doubtful {
			break
		}
		part := buf[:min(segment, o.offset-off)]
		if _, err := r.ReadAt(part, off); err != nil {
			return err
		}
		if xxh3.Hash(part) != want {
			return fmt.Errorf("%s: %w: what is there behind byte %d is not what was written", o.name, errLost, off)
		}
	}
	return nil
}

// Abort implements store.Object.
func (o *object) Abort() error {
	if o.done {
		return nil
	}
	o.done = true
	o.stop()
	o.sending.Wait()
	return o.store.do(o.store.ctx, func(c *connection) error {
		_ = o.handle.close(c)
		err := c.sftp.Remove(o.pending)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return o.store.checked(c, o.name, err)
	})
}

// ranges are disjoint byte ranges in ascending order.
type ranges [][2]int64

// add joins a range to the others.
func (r *ranges) add(from, to int64) {
	out := (*r)[:0:0]
	for _, x := range *r {
		if x[1] < from || x[0] > to {
			out = append(out, x)
			continue
		}
		from, to = min(from, x[0]), max(to, x[1])
	}
	at := 0
	for at < len(out) && out[at][0] < from {
		at++
	}
	*r = append(out[:at:at], append(ranges{{from, to}}, out[at:]...)...)
}

// end is where the last range ends.
func (r ranges) end() int64 {
	if len(r) == 0 {
		return 0
	}
	return r[len(r)-1][1]
}

// first is how much there is from byte 0 without a gap.
func (r ranges) first() int64 {
	if len(r) == 0 || r[0][0] > 0 {
		return 0
	}
	return r[0][1]
}
