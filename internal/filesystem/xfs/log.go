package xfs

import (
	"bytes"
	"fmt"
)

// The log is a ring of basic blocks of 512 bytes. Each begins with the number
// of the cycle in which it was written, or, at the start of a record, with the
// record's head (numbers are big-endian):
//
//	0    4   h_magicno FE ED BA BE       40   4    h_num_logops
//	4    4   h_cycle                     44   256  h_cycle_data
//	8    4   h_version                   300  4    h_fmt
//	12   4   h_len, bytes behind         304  16   h_fs_uuid
//	         the head                    320  4    h_size
//	16   8   h_lsn: cycle, own block
//
// In version 2 the head has one block more for every 32 KiB of h_size but the
// first. What begins with the number of a cycle begins so in place of its own
// four bytes, which the head keeps in h_cycle_data.
//
// Behind the head come operations:
//
//	0    4   oh_tid                      8    1    oh_clientid
//	4    4   oh_len                      9    1    oh_flags
//
// The last record of a log that needs no recovery has one operation, by which
// the file system was unmounted.
const (
	basicBlock = 512
	logMagic   = 0xFEEDBABE

	clientLog      = 0xAA // XFS_LOG
	flagUnmount    = 0x20 // XLOG_UNMOUNT_TRANS
	recordCycles   = 32 << 10
	maxRecord      = 256<<10/basicBlock + 8 // basic blocks: data and head
	maxUnordered   = 8 * maxRecord          // eight records may be under way at once
	logReadAtATime = 256                    // basic blocks
)

// ring is the log as basic blocks.
type ring struct {
	f      *fileSystem
	offset int64 // bytes from the start of the volume
	blocks int64 // basic blocks
}

// logIsClean tells whether the last record of the log is that of an unmount.
// Whatever else it finds, it takes for a log that must be recovered.
func (f *fileSystem) logIsClean() (bool, error) {
	l := ring{f, f.logStart * f.blockSize, f.logBlocks * f.blockSize / basicBlock}
	head, cycle, ok, err := l.head()
	if err != nil || !ok {
		return false, err
	}
	// Backwards to the head of the last record. Nothing else begins with the
	// magic, as the other blocks begin with their cycle.
	p := make([]byte, basicBlock)
	for back := int64(1); back <= min(maxRecord, l.blocks); back++ {
		at := (head - back + l.blocks) % l.blocks
		if err := l.read(p, at); err != nil {
			return false, err
		}
		if be.Uint32(p) != logMagic {
			continue
		}
		if at > head && head > 0 {
			cycle-- // the record goes across the end of the ring
		}
		return l.isUnmount(p, at, back, cycle)
	}
	return false, nil
}

// isUnmount tells whether the record that begins with block p, at basic block
// at, and ends length blocks later is that of an unmount.
func (l *ring) isUnmount(p []byte, at, length int64, cycle uint32) (bool, error) {
	version, size, n := be.Uint32(p[8:]), int64(be.Uint32(p[320:])), int64(be.Uint32(p[12:]))
	heads := int64(1)
	if version == 2 && size > recordCycles {
		heads = (size + recordCycles - 1) / recordCycles
	}
	switch {
	case be.Uint32(p[4:]) != cycle || be.Uint64(p[16:]) != uint64(cycle)<<32|uint64(at),
		version != 1 && version != 2,
		!bytes.Equal(p[304:320], l.f.sb.uuid()),
		heads+(n+basicBlock-1)/basicBlock != length,
		be.Uint32(p[40:]) != 1:
		return false, nil
	}
	if err := l.read(p, (at+heads)%l.blocks); err != nil {
		return false, err
	}
	return p[8] == clientLog && p[9]&flagUnmount != 0, nil
}

// head finds where the next record would begin, and the cycle of the block
// before it: all blocks from the start of the ring on have the same cycle, and
// from the head on an older one, or 0 if never written. Where records were
// under way when the machine stopped, old and new may be mixed near the head;
// then ok is false.
func (l *ring) head() (head int64, cycle uint32, ok bool, err error) {
	first, err := l.cycle(0)
	if err != nil {
		return 0, 0, false, err
	}
	last, err := l.cycle(l.blocks - 1)
	if err != nil || first == 0 || last > first {
		return 0, 0, false, err
	}
	if last < first {
		low, high := int64(0), l.blocks-1 // low is new, high is old
		for high-low > 1 {
			mid := low + (high-low)/2
			c, err := l.cycle(mid)
			if err != nil {
				return 0, 0, false, err
			}
			if c == first {
				low = mid
			} else {
				high = mid
			}
		}
		head = high
	}
	ok, err = l.ordered(head, first, last)
	return head, first, ok, err
}

// ordered checks the cycles on both sides of the head as far as records may
// have been under way.
func (l *ring) ordered(head int64, first, last uint32) (bool, error) {
	p := make([]byte, logReadAtATime*basicBlock)
	reach := min(maxUnordered, l.blocks/2)
	for at, end := head-reach, head+reach; at < end; {
		from := (at + l.blocks) % l.blocks
		n := min(logReadAtATime, end-at, l.blocks-from)
		if err := l.read(p[:n*basicBlock], from); err != nil {
			return false, err
		}
		for i := range n {
			want := first
			if from+i >= head {
				want = last
			}
			if cycleOf(p[i*basicBlock:]) != want {
				return false, nil
			}
		}
		at += n
	}
	return true, nil
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

func (l *ring) read(p []byte, at int64) error {
	if err := readFull(l.f.r, p, l.offset+at*basicBlock); err != nil {
		return fmt.Errorf("xfs: log at byte %d: %w", l.offset+at*basicBlock, err)
	}
	return nil
}
