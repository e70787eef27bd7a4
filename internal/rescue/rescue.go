// Package rescue reads a disk that fails: around sectors that cannot be read
// first, those last. What was read lies in a spool, a folder of files beside
// the image to come, and a map says of every byte of the disk what became of
// it; so a rescue that was interrupted goes on where it was. FORMAT.md has
// spool, map and the marker that stands for what could not be read.
//
// The package opens no device, knows no file systems and makes no image: it
// gives the disk as an io.ReaderAt.
package rescue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"doppel.live/internal/extent"
)

// Source is the failing disk. blockdev.Sectors is one. ReadAt is called from
// one goroutine at a time, with memory and offset aligned to sectors.
type Source interface {
	io.ReaderAt
	Size() int64       // bytes, whole sectors
	SectorSize() int64 // logical, bytes
	Present() bool     // the disk is still there
}

// ErrGone says that the disk went away: what cannot be read says nothing about
// its sectors then.
var ErrGone = errors.New("the disk went away")

// ErrUnreadable says that a sector could not be read.
var ErrUnreadable = errors.New("sector cannot be read")

// Options says how a disk is read. The zero value is the default.
type Options struct {
	Slow     time.Duration   // a read that takes as long is counted as slow; 0: one second
	Patience time.Duration   // a read that takes as long is told while it hangs; 0: five seconds
	Save     time.Duration   // the map is written that often; 0: ten seconds
	Tell     func(string)    // takes what a person must know; may be nil, may be called from another goroutine
	Stop     <-chan struct{} // closed: nothing more is read; may be nil
	Comment  string          // one line for the map: what made it
}

// Statistics counts what the disk did.
type Statistics struct {
	Reads   int64         // that were asked of the disk
	Errors  int64         // of them, those that failed
	Slow    int64         // of them, those that took longer than Options.Slow
	Longest time.Duration // the slowest
}

// Disk is a failing disk with what was read of it. Its methods may be called
// from several goroutines; the disk gets one read at a time.
type Disk struct {
	source Source // Lost: what the map says stays as it is
	spool  *Spool // nil: nothing is kept
	o      Options

	mu     sync.Mutex
	m      *Map
	buffer []byte         // of reads of the disk
	failed map[int64]bool // sectors, by offset, that this Disk could not read
	gone   error          // why nothing is read any more
	stats  Statistics
	told   int       // hanging reads that were told
	saved  time.Time // when the map was written last
}

// readSize is how much is read at once where nothing fails.
const readSize = 1 << 20

// NewDisk makes a Disk of source with what spool holds of it. Without a spool
// nothing is kept: that serves for a look.
func NewDisk(source Source, spool *Spool, o Options) (*Disk, error) {
	o.Slow, o.Patience, o.Save = or(o.Slow, time.Second), or(o.Patience, 5*time.Second), or(o.Save, 10*time.Second)
	d := &Disk{source: source, spool: spool, o: o, failed: map[int64]bool{}, buffer: make([]byte, readSize), saved: time.Now()}
	if source.SectorSize() <= 0 || source.SectorSize() > readSize || source.Size()%source.SectorSize() != 0 {
		return nil, fmt.Errorf("disk of %d bytes with sectors of %d", source.Size(), source.SectorSize())
	}
	if spool == nil {
		d.m = NewMap(source.Size())
		return d, nil
	}
	var err error
	if d.m, err = spool.loadMap(source.Size(), source.SectorSize()); err != nil {
		return nil, err // without a map, nothing may write one
	}
	return d, nil
}

func or(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// Statistics gives what was counted so far.
func (d *Disk) Statistics() Statistics {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stats
}

// Gone is an error once nothing can be read any more: it wraps ErrGone where
// the disk went away, and context.Canceled where Options.Stop was closed.
func (d *Disk) Gone() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.gone
}

// Left gives what of list was not read, exactly.
func (d *Disk) Left(list []extent.Extent) []extent.Extent {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.m.Extents(list, NonTried, NonTrimmed, NonScraped, Bad)
}

// Bad gives what of list could not be read when its sectors were tried.
func (d *Disk) Bad(list []extent.Extent) []extent.Extent {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.m.Extents(list, Bad)
}

// Map gives the map as a file.
func (d *Disk) Map() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.m.Encode(d.o.Comment)
}

// Close writes the map and gives the spool up. The source stays open.
func (d *Disk) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.spool == nil {
		return nil
	}
	return errors.Join(d.save(), d.spool.Close())
}

// save makes what was read durable, and then writes the map that says so.
func (d *Disk) save() error {
	if d.spool == nil {
		return nil
	}
	d.saved = time.Now()
	return d.spool.save(d.m.Encode(d.o.Comment))
}

// sector is the beginning of the sector that off lies in.
func (d *Disk) sector(off int64) int64 { return off - off%d.source.SectorSize() }

// fetch reads n bytes at off of the disk into the buffer, whole sectors, and
// keeps what it got: the first got bytes. The error is ErrUnreadable where the
// rest could not be read, and anything else where going on makes no sense.
func (d *Disk) fetch(off, n int64) (got int64, err error) {
	select {
	case <-d.o.Stop:
		d.gone = context.Canceled
	default:
	}
	if d.gone != nil {
		return 0, d.gone
	}
	k, err := d.timed(d.buffer[:n], off)
	got = d.sector(int64(k))
	if got > 0 {
		if err := d.keep(d.buffer[:got], off); err != nil {
			return 0, err
		}
	}
	if got == n {
		return got, nil
	}
	d.stats.Errors++
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	switch {
	case !d.source.Present() || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO):
		d.gone = fmt.Errorf("%w while byte %d was read: %w", ErrGone, off+got, err)
		return got, d.gone
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EBADF), errors.Is(err, unix.EFAULT), errors.Is(err, unix.ENOMEM):
		return got, fmt.Errorf("read of %d bytes at %d: %w", n, off, err) // not the disk's fault
	}
	return got, fmt.Errorf("%w: byte %d: %w", ErrUnreadable, off+got, err)
}

// timed reads the disk and counts how long that takes.
func (d *Disk) timed(p []byte, off int64) (int, error) {
	if d.told < 3 { // the first ones are told; all are counted
		waiting := time.AfterFunc(d.o.Patience, func() {
			d.tell(fmt.Sprintf("the disk has not answered for %v, at byte %d; it is waited for", d.o.Patience, off))
		})
		defer func() {
			if !waiting.Stop() {
				d.told++
			}
		}()
	}
	began := time.Now()
	n, err := d.source.ReadAt(p, off)
	took := time.Since(began)
	d.stats.Reads++
	d.stats.Longest = max(d.stats.Longest, took)
	if took >= d.o.Slow {
		d.stats.Slow++
	}
	return n, err
}

func (d *Disk) tell(text string) {
	if d.o.Tell != nil {
		d.o.Tell(text)
	}
}

// keep writes what was read into the spool.
func (d *Disk) keep(p []byte, off int64) error {
	if d.spool == nil {
		return nil
	}
	if err := d.spool.writeAt(p, off); err != nil {
		return err
	}
	d.m.Set(extent.Extent{Offset: off, Length: int64(len(p))}, Finished)
	if time.Since(d.saved) < d.o.Save {
		return nil
	}
	return d.save()
}
