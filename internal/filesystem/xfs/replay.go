package xfs

import (
	"bytes"
	"fmt"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
)

// replay reads the log of a file system that was not unmounted, from its tail
// to its head, and keeps what recovery will write to the superblock, to the
// heads of the allocation groups and to their trees of free space. Nothing is
// written.
//
// Recovery on a copy does the same as on the volume where it reads the same.
// It reads what items of the log name, in the order of the log: the buffers,
// to change parts of them, and of version 5 to leave those alone that are newer
// than the item; the buffers in which inodes and quotas lie. Then it carries
// out intents and clears inodes without names, by what is in use when all has
// been replayed. So in use is what the trees do not hold after the replay, and
// besides every block that an item names, though it may be free by then. That
// includes all metadata that were freed since the tail of the log: each such
// block has an item that cancels it.
type replay struct {
	f       *fileSystem
	open    map[uint32]*transaction // by oh_tid
	images  map[int64]*image        // by byte of the volume
	touched []extent.Extent         // whole blocks that items of committed transactions name
	mergeAt int                     // length of touched at which it is merged
	held    int64                   // bytes in memory, roughly
}

// image is what the log has of a buffer.
type image struct {
	data    []byte
	written []bool // by chunks
	lsn     uint64 // of the transaction that wrote to it last
}

// change is what a committed transaction does to a buffer.
type change struct {
	off, length int64 // bytes of the volume
	cancel      bool  // what was written before is not written: the blocks are freed
	writes      []write
}

// write is a piece of a buffer.
type write struct {
	off  int64 // bytes from its start
	data []byte
}

const (
	maxHeld    = 48 << 20 // bytes
	maxTouched = 1 << 21
)

// replayLog replays the log of a file system that was not unmounted.
func (f *fileSystem) replayLog() error {
	if f.logError != nil {
		return f.logError
	}
	switch {
	case f.sb.incompat()&incompatNeedsRepair != 0:
		return formatError(216, "it is marked as damaged, and was not unmounted")
	case f.sb.logIncompat()&^logIncompatKnown != 0:
		return formatError(220, "unknown features of the log %#x", f.sb.logIncompat()&^logIncompatKnown)
	}
	p := &replay{f: f, open: map[uint32]*transaction{}, images: map[int64]*image{}, mergeAt: 1 << 16}
	if err := p.records(); err != nil {
		return err
	}
	if err := p.dropOld(); err != nil {
		return err
	}
	f.images, f.touched = p.images, extent.Union(p.touched)
	return f.replayedSuperblock()
}

// records walks over the records from the tail to the head.
func (p *replay) records() error {
	l, end := &p.f.log, p.f.logEnd
	at := end.last.tail()
	if at.at >= l.blocks || at.lsn() > end.head.lsn() || l.move(at, l.blocks).lsn() < end.head.lsn() {
		return l.errorf(end.last.at, 24, "the log begins at block %d of cycle %d and ends at block %d of cycle %d",
			at.at, at.cycle, end.head.at, end.head.cycle)
	}
	for at != end.head {
		r, err := l.record(at)
		if err == nil {
			err = r.load(l)
		}
		if err == nil {
			err = p.operations(r)
		}
		if err != nil {
			return err
		}
		if at = r.end(l); at.lsn() > end.head.lsn() {
			return l.errorf(r.at, 12, "a record of the log reaches beyond its end")
		}
	}
	return nil
}

// isHead tells whether a buffer is the superblock or the head of a group.
func (p *replay) isHead(off, length int64) bool {
	f := p.f
	return length == f.sectorSize && (off == 0 || (off-f.sectorSize)%(f.agBlocks*f.blockSize) == 0)
}

// change does what a committed transaction did to a buffer.
func (p *replay) change(c change, lsn uint64) error {
	img := p.images[c.off]
	if img != nil && (c.cancel || int64(len(img.data)) != c.length || c.isOther(p)) {
		p.forget(c.off)
		img = nil
	}
	if c.cancel {
		return nil
	}
	if img == nil {
		if ours, err := p.isOurs(c); err != nil || !ours {
			return err
		}
		img = &image{data: make([]byte, c.length), written: make([]bool, c.length/bufferChunk)}
		p.images[c.off] = img
		p.held += 2 * c.length
	}
	for _, w := range c.writes {
		copy(img.data[w.off:], w.data)
		for i := range len(w.data) / bufferChunk {
			img.written[w.off/bufferChunk+int64(i)] = true
		}
	}
	img.lsn = lsn
	return p.checkHeld()
}

func (p *replay) forget(off int64) {
	p.held -= 2 * int64(len(p.images[off].data))
	delete(p.images, off)
}

// isOther tells whether the buffer begins another life, as no tree of free
// space.
func (c change) isOther(p *replay) bool {
	begins := len(c.writes) > 0 && c.writes[0].off == 0
	return begins && !p.isHead(c.off, c.length) && string(c.writes[0].data[:4]) != p.f.treeMagic()
}

// isOurs tells whether a buffer that we hold nothing of is one that Allocated
// reads. Who makes a block one of a tree writes its first bytes to the log; so
// where the item does not have them they are those on the volume.
func (p *replay) isOurs(c change) (bool, error) {
	if p.isHead(c.off, c.length) {
		return true, nil
	}
	if len(c.writes) == 0 || c.isOther(p) {
		return false, nil
	}
	if c.writes[0].off == 0 {
		return true, nil
	}
	magic := make([]byte, 4)
	if err := filesystem.ReadFull(p.f.r, magic, c.off); err != nil {
		return false, fmt.Errorf("xfs: buffer at byte %d: %w", c.off, err)
	}
	return string(magic) == p.f.treeMagic(), nil
}

// dropOld leaves out what is newer on the volume than in the log, as recovery
// does in version 5: with a block of metadata the place in the log was written
// of its last change.
func (p *replay) dropOld() error {
	if p.f.sb.version() < 5 {
		return nil
	}
	for off, img := range p.images {
		b := make([]byte, len(img.data))
		if err := filesystem.ReadFull(p.f.r, b, off); err != nil {
			return fmt.Errorf("xfs: buffer at byte %d: %w", off, err)
		}
		uuid, lsn := b[32:48], uint64(0)
		switch string(b[:4]) {
		case p.f.treeMagic():
			lsn = be.Uint64(b[24:])
		case "XAGF":
			uuid, lsn = b[64:80], be.Uint64(b[groupLSN:])
		}
		if bytes.Equal(uuid, p.f.uuid) && lsn != ^uint64(0) && lsn > img.lsn {
			delete(p.images, off)
		}
	}
	return nil
}

// replayedSuperblock takes the superblock as it will be. It has to say the same
// of everything but counts and the label.
func (f *fileSystem) replayedSuperblock() error {
	before := *f
	if _, ok := f.images[0]; !ok {
		return nil
	}
	sb := make(superblock, f.sectorSize)
	if _, err := f.read(sb, 0); err != nil {
		return err
	}
	f.sb = sb
	if err := sb.supported(); err != nil {
		return err
	}
	if err := f.geometry(f.size); err != nil {
		return err
	}
	if f.blocks != before.blocks || f.agBlocks != before.agBlocks || f.logStart != before.logStart || f.logBlocks != before.logBlocks ||
		f.blockSize != before.blockSize || sb.sectorSize() != f.sectorSize || !bytes.Equal(f.uuid, before.uuid) {
		return formatError(0, "the log changes the size of the file system")
	}
	return nil
}

// read reads a sector or block of metadata as it will be after recovery.
// replayed says that part of it comes from the log, where its checksum is not
// made anew; what the log has was verified by checksums of its own.
func (f *fileSystem) read(p []byte, off int64) (replayed bool, err error) {
	if err := filesystem.ReadFull(f.r, p, off); err != nil {
		return false, err
	}
	img := f.images[off]
	if img == nil || len(img.data) != len(p) {
		return false, nil
	}
	for i, written := range img.written {
		if written {
			copy(p[i*bufferChunk:], img.data[i*bufferChunk:][:bufferChunk])
		}
	}
	return true, nil
}

// touch notes whole blocks that recovery may read.
func (p *replay) touch(e extent.Extent) error {
	p.touched = append(p.touched, e)
	if len(p.touched) < p.mergeAt {
		return nil
	}
	p.touched = extent.Union(p.touched)
	if len(p.touched) > maxTouched {
		return problemf("more than %d places are named in the log", maxTouched)
	}
	p.mergeAt = max(2*len(p.touched), 1<<16)
	return nil
}

// held is what the change holds in memory, in bytes.
func (c change) held() int64 {
	n := int64(64)
	for _, w := range c.writes {
		n += 32 + int64(len(w.data))
	}
	return n
}

// checkHeld bounds what is held in memory.
func (p *replay) checkHeld() error {
	if p.held > maxHeld {
		return problemf("more than %d bytes of trees are in the log", int64(maxHeld))
	}
	return nil
}
