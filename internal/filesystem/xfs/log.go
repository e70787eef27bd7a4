package xfs

import (
	"errors"
	"fmt"

	"doppel.live/internal/filesystem"
)

// The log is a ring of basic blocks of 512 bytes. Each begins with the number
// of the cycle in which it was written, or, at the start of a record, with the
// record's head; see record. All blocks from the start of the ring on have the
// same cycle, and from its head on, where the next record would begin, an older
// one, or 0 if never written.
const (
	basicBlock     = 512
	recordsAtOnce  = 8                      // that may be under way when the machine stops
	maxRecord      = 256<<10/basicBlock + 8 // basic blocks: data and head
	maxUnordered   = recordsAtOnce * maxRecord
	logReadAtATime = 256 // basic blocks
)

// ring is the log as basic blocks.
type ring struct {
	f      *fileSystem
	offset int64 // bytes from the start of the volume
	blocks int64 // basic blocks
}

// place is a basic block of the ring in a cycle: what the format calls a log
// sequence number, LSN, of which the cycle is the upper half.
type place struct {
	cycle uint32
	at    int64
}

func (p place) lsn() uint64 { return uint64(p.cycle)<<32 | uint64(p.at) }

func placeOf(lsn uint64) place { return place{uint32(lsn >> 32), int64(lsn & 0xFFFFFFFF)} }

// move is the place n blocks behind p, or before it where n is negative.
func (l *ring) move(p place, n int64) place {
	switch p.at += n; {
	case p.at >= l.blocks:
		return place{p.cycle + 1, p.at - l.blocks}
	case p.at < 0:
		return place{p.cycle - 1, p.at + l.blocks}
	}
	return p
}

// logEnd is where the log ends.
type logEnd struct {
	head place   // where the next record would begin
	last *record // before the head
}

// end finds the end of the log as recovery does. Records that were under way
// when the machine stopped may be there in part, and later ones whole: the log
// ends before the first that is not whole.
func (l *ring) end() (*logEnd, error) {
	head, err := l.head()
	if err != nil {
		return nil, err
	}
	last, err := l.before(head)
	if err != nil {
		return nil, err
	}
	if last.end(l).lsn() > head.lsn() { // it was not written to its end
		head = last.place
		if last, err = l.before(head); err != nil {
			return nil, err
		}
	}
	if last.end(l) != head {
		return nil, l.errorf(last.at, 12, "a record of the log does not reach the next one")
	}
	e := &logEnd{head, last}
	if l.f.sb.version() < 5 {
		return e, nil // without checksums that recovery would look at
	}
	return e, e.cut(l)
}

// cut moves the end before the first of the last records whose checksum is
// wrong: its blocks are from this cycle, but not all of its writes arrived.
func (e *logEnd) cut(l *ring) error {
	rec, broken := e.last, (*record)(nil)
	for n := 1; ; n++ {
		if err := rec.load(l); err != nil {
			if !errors.Is(err, errChecksum) {
				return err
			}
			broken = rec
		}
		rec.data = nil
		if n == recordsAtOnce || rec.tail() == rec.place || rec.place.lsn() <= e.last.tail().lsn() {
			break
		}
		prev, err := l.before(rec.place)
		if err != nil {
			return err
		}
		if prev.end(l) != rec.place {
			return l.errorf(prev.at, 12, "a record of the log does not reach the next one")
		}
		rec = prev
	}
	if broken == nil {
		return nil
	}
	var err error
	e.head = broken.place
	if e.last, err = l.before(e.head); err == nil && e.last.end(l) != e.head {
		err = l.errorf(e.last.at, 12, "a record of the log does not reach the next one")
	}
	return err
}

// before finds the last record that begins before a place.
func (l *ring) before(p place) (*record, error) {
	b := make([]byte, basicBlock)
	for back := int64(1); back <= min(maxRecord, l.blocks); back++ {
		q := l.move(p, -back)
		if err := l.read(b, q.at); err != nil {
			return nil, err
		}
		// Nothing else begins with the magic: the other blocks begin with
		// their cycle.
		if be.Uint32(b) == logMagic {
			return l.record(q)
		}
	}
	return nil, l.errorf(p.at, 0, "no record of the log ends here")
}

// clean tells whether the last record of the log is that of an unmount: then
// nothing is left to be replayed.
func (e *logEnd) clean(l *ring) (bool, error) {
	if be.Uint32(e.last.head[40:]) != 1 {
		return false, nil
	}
	if err := e.last.load(l); err != nil {
		return false, err
	}
	data := e.last.data
	return len(data) >= opHead && data[8] == clientLog && data[9]&opUnmount != 0, nil
}

// readLog finds the end of the log. A log whose end is not understood is not
// clean; the reason is kept for who wants to replay it.
func (f *fileSystem) readLog() (clean bool, err error) {
	f.log = ring{f, f.logStart * f.blockSize, f.logBlocks * f.blockSize / basicBlock}
	f.logEnd, err = f.log.end()
	if err == nil {
		clean, err = f.logEnd.clean(&f.log)
	}
	if e := new(filesystem.FormatError); errors.As(err, &e) {
		f.logError, err = err, nil
	}
	return clean, err
}

// head finds the first block that does not belong to the present cycle.
func (l *ring) head() (place, error) {
	first, err := l.cycle(0)
	if err != nil {
		return place{}, err
	}
	last, err := l.cycle(l.blocks - 1)
	if err != nil {
		return place{}, err
	}
	if first == 0 || last > first {
		return place{}, l.errorf(0, 0, "the log begins in cycle %d and ends in cycle %d", first, last)
	}
	if last == first {
		return l.firstHole(place{first + 1, 0}, first)
	}
	low, high := int64(0), l.blocks-1 // low is new, high is old
	for high-low > 1 {
		mid := low + (high-low)/2
		c, err := l.cycle(mid)
		if err != nil {
			return place{}, err
		}
		if c == first {
			low = mid
		} else {
			high = mid
		}
	}
	return l.firstHole(place{first, high}, last)
}

// firstHole looks around a head as far as records may have been under way, and
// gives the first block before it that is old. What lies behind may be new or
// old, but nothing else, and no more than was under way. The last block of the ring has cycle last.
func (l *ring) firstHole(head place, last uint32) (place, error) {
	hole := head
	records := 0 // behind the hole
	reach := min(maxUnordered, l.blocks/2)
	p := make([]byte, logReadAtATime*basicBlock)
	for done := -reach; done < reach; {
		from := l.move(head, done)
		n := min(logReadAtATime, reach-done, l.blocks-from.at)
		if err := l.read(p[:n*basicBlock], from.at); err != nil {
			return place{}, err
		}
		for i := range n {
			b, c := l.move(from, i), cycleOf(p[i*basicBlock:])
			isNew := c == b.cycle
			isOld := c == b.cycle-1 || c == 0
			switch {
			case last == 0 && b.cycle < head.cycle && c == 0: // the ring was never full
			case !isNew && !isOld:
				return place{}, l.errorf(b.at, 0, "a block of cycle %d in the log, where cycle %d is wanted", c, b.cycle)
			case !isNew && b.lsn() < hole.lsn():
				hole = b
			case isNew && b.lsn() > hole.lsn() && be.Uint32(p[i*basicBlock:]) == logMagic:
				if records++; records > recordsAtOnce {
					return place{}, l.errorf(hole.at, 0, "a block of the log is old, and more records lie behind it than can be under way")
				}
			}
		}
		done += n
	}
	return hole, nil
}

// cycle is the cycle in which a basic block was written.
func (l *ring) cycle(at int64) (uint32, error) {
	p := make([]byte, basicBlock)
	err := l.read(p, at)
	return cycleOf(p), err
}

func cycleOf(p []byte) uint32 {
	if c := be.Uint32(p); c != logMagic {
		return c
	}
	return be.Uint32(p[4:])
}

// read reads basic blocks from at on, over the end of the ring where need be.
func (l *ring) read(p []byte, at int64) error {
	n := min(int64(len(p)), (l.blocks-at)*basicBlock)
	if err := filesystem.ReadFull(l.f.r, p[:n], l.offset+at*basicBlock); err != nil {
		return fmt.Errorf("xfs: log at byte %d: %w", l.offset+at*basicBlock, err)
	}
	if n < int64(len(p)) {
		return l.read(p[n:], 0)
	}
	return nil
}

// errorf is an error at byte off of a basic block.
func (l *ring) errorf(at, off int64, format string, args ...any) error {
	return formatError(l.offset+at*basicBlock+off, format, args...)
}
