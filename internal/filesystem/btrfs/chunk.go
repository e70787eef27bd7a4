package btrfs

import (
	"cmp"
	"slices"
)

const (
	chunkSize  = 0x30 // bytes of a chunk item before its stripes
	stripeSize = 0x20

	firstChunkTree = 256 // object of every chunk item
	devicesObject  = 1   // object of every device item

	maxAddress = 1 << 62 // logical addresses above are no sensible ones
)

// Profiles of a chunk, in its type.
const (
	profileRAID0 = 1 << 3
	profileRAID1 = 1 << 4
	profileDUP   = 1 << 5
	profiles     = 1<<3 | 1<<4 | 1<<5 | 1<<6 | 1<<7 | 1<<8 | 1<<9 | 1<<10 // RAID0 1 DUP 10 5 6 1C3 1C4
)

// chunk is a run of logical addresses and where it lies on the device.
type chunk struct {
	logical uint64
	length  uint64 // bytes
	copies  [2]int64
	count   int   // of copies
	used    int64 // bytes, by its block group
}

func (c *chunk) end() uint64 { return c.logical + c.length }

// stripe is one copy of a chunk on the device.
type stripe struct {
	physical int64
	chunk    int // index in chunks
}

// chunkAt gives the chunk of a logical address, or nil.
func (f *fileSystem) chunkAt(logical uint64) *chunk {
	i, exact := slices.BinarySearchFunc(f.chunks, logical, func(c chunk, at uint64) int { return cmp.Compare(c.logical, at) })
	if !exact {
		i--
	}
	if i < 0 || logical >= f.chunks[i].end() {
		return nil
	}
	return &f.chunks[i]
}

// loadChunks reads all chunks: those of the superblock lead to the chunk tree.
func (f *fileSystem) loadChunks() error {
	const at = superOffset + 0x32B
	array := f.sb.systemChunks()[:f.sb.systemChunksSize()]
	for len(array) > 0 {
		if len(array) < keySize+chunkSize {
			return formatError(at, "system chunks end within one")
		}
		k := parseKey(array)
		n := chunkSize + int(le.Uint16(array[keySize+0x2C:]))*stripeSize
		if k.kind != typeChunk || len(array)-keySize < n {
			return formatError(at, "system chunks hold something else, or end within one")
		}
		if err := f.addChunk(k, array[keySize:keySize+n]); err != nil {
			return err
		}
		array = array[keySize+n:]
	}
	if err := f.sortChunks(); err != nil {
		return err
	}
	system := f.chunks
	var all []chunk
	w := walker{f: f, root: pointer{f.sb.chunkRoot(), f.sb.chunkGeneration(), f.sb.chunkLevel()}}
	err := w.walk(key{}, func(k key, data []byte) (bool, error) {
		f.chunks = all
		err := f.chunkTreeItem(k, data)
		all, f.chunks = f.chunks, system
		return true, err
	})
	if err != nil {
		return err
	}
	f.chunks = all
	return f.sortChunks()
}

// chunkTreeItem takes one item of the chunk tree.
func (f *fileSystem) chunkTreeItem(k key, data []byte) error {
	switch {
	case k.object == devicesObject && k.kind == typeDevice && k.offset != f.sb.deviceID():
		return formatError(superOffset+0xC9, "file system of several devices: %d and %d", f.sb.deviceID(), k.offset)
	case k.object == firstChunkTree && k.kind == typeChunk:
		return f.addChunk(k, data)
	}
	return nil
}

// addChunk parses a chunk item:
//
//	0x00  8  length in bytes
//	0x18  8  type and profile
//	0x2C  2  number of stripes
//	0x30     stripes: 0x00 8 device, 0x08 8 byte of the device
func (f *fileSystem) addChunk(k key, p []byte) error {
	wrong := func(format string, args ...any) error {
		return formatError(superOffset, "chunk at logical address %d: "+format, append([]any{k.offset}, args...)...)
	}
	if len(p) < chunkSize {
		return wrong("%d bytes long", len(p))
	}
	c := chunk{logical: k.offset, length: le.Uint64(p), count: int(le.Uint16(p[0x2C:]))}
	sector := uint64(f.sectorSize)
	if c.logical >= maxAddress || c.length == 0 || c.length > uint64(f.info.Size) || c.logical%sector != 0 || c.length%sector != 0 {
		return wrong("%d bytes", c.length)
	}
	if len(p) != chunkSize+c.count*stripeSize {
		return wrong("%d stripes in %d bytes", c.count, len(p))
	}
	profile := le.Uint64(p[0x18:]) & profiles
	linear := profile == 0 && c.count == 1 || profile == profileDUP && c.count == 2 || profile == profileRAID0 && c.count == 1
	if !linear {
		return wrong("profile 0x%x of %d stripes", profile, c.count)
	}
	for i := range c.count {
		s := p[chunkSize+i*stripeSize:]
		if device := le.Uint64(s); device != f.sb.deviceID() {
			return wrong("on device %d, this is device %d", device, f.sb.deviceID())
		}
		at := le.Uint64(s[8:])
		if at > uint64(f.info.Size)-c.length || at%sector != 0 {
			return wrong("stripe at byte %d", at)
		}
		c.copies[i] = int64(at)
	}
	f.chunks = append(f.chunks, c)
	return nil
}

// sortChunks orders chunks and stripes, and holds that none overlap.
func (f *fileSystem) sortChunks() error {
	slices.SortFunc(f.chunks, func(a, b chunk) int { return cmp.Compare(a.logical, b.logical) })
	f.stripes = nil
	for i, c := range f.chunks {
		if i > 0 && f.chunks[i-1].end() > c.logical {
			return formatError(superOffset, "chunks overlap at logical address %d", c.logical)
		}
		for _, at := range c.copies[:c.count] {
			f.stripes = append(f.stripes, stripe{at, i})
		}
	}
	slices.SortFunc(f.stripes, func(a, b stripe) int { return cmp.Compare(a.physical, b.physical) })
	for i, s := range f.stripes {
		if i == 0 {
			continue
		}
		before := f.stripes[i-1]
		if before.physical+int64(f.chunks[before.chunk].length) > s.physical {
			return formatError(s.physical, "chunks overlap on the device")
		}
	}
	return nil
}
