// Package ntfs finds the clusters in use of NTFS: those that $Bitmap marks,
// and those that the runs of any MFT record in use name. It lists and reads
// files, with their streams, compressed or not. It repairs nothing.
//
// Clusters from 512 bytes to 2 MiB, sectors from 512 to 4096 bytes, $MFT and
// $Bitmap in any number of pieces, with attribute lists. What lies behind the
// last cluster counts as used: the copy of the boot sector is there. Not
// supported: versions other than 1.2, 3.0 and 3.1.
//
// Of files that are encrypted, deduplicated, compressed by WOF (as of
// CompactOS) or kept in a cloud only the places are known. Links, junctions and
// the special files of the Windows subsystem for Linux are understood, those of
// Interix are files with a strange content. Not supported: owners and
// permissions, case sensitivity of directories, extended attributes.
//
// $LogFile is not replayed, since what its entries mean is not published. A
// volume whose $LogFile holds changes is in state Recovery, one to which a
// sleeping Windows will come back in state Hibernated; in both the clusters
// that Allocated gives may lack some that are only on paper, and whoever saves
// such a volume must save all of it. Where the volume is only marked dirty,
// all changes are on it: a $Bitmap that lags behind the records is what the
// union is for.
//
// The layout is that of "New Technologies File System (NTFS)" of the libfsntfs
// documentation, of Microsoft's pages on the Master File Table ("Multi-sector
// header structure", "File record segment header", "Attribute record header")
// and of volumes made by mkntfs; that of compressed units, of [MS-XCA] and of
// what ntfs-3g writes; that of reparse points, of [MS-FSCC] section 2.1.2.
package ntfs

import (
	"encoding/binary"
	"fmt"
	"io"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/bitmap"
)

var le = binary.LittleEndian

// The MFT records that have fixed places.
const (
	recordMFT     = 0
	recordLogFile = 2
	recordVolume  = 3
	recordRoot    = 5
	recordBitmap  = 6
)

// fileSystem is one opened NTFS.
type fileSystem struct {
	r    io.ReaderAt
	size int64 // bytes of the volume
	boot boot
	info filesystem.Info

	mft       *stream // $MFT's data
	mftBitmap *stream // which of its records are in use
	bitmap    *stream // $Bitmap's data
	tail      []extent.Extent
}

var _ filesystem.Opener = Open

// Open opens the file system on a volume of size bytes. It reads the system's
// records and $Bitmap; all other records are read by Allocated, which may find
// more in use than Info().Used says where $Bitmap lags behind.
func Open(r io.ReaderAt, size int64) (filesystem.FileSystem, error) {
	return filesystem.Opened(open(r, size))
}

func open(r io.ReaderAt, size int64) (*fileSystem, error) {
	b, err := readBoot(r, size)
	if err != nil {
		return nil, err
	}
	f := &fileSystem{r: r, size: size, boot: b}
	f.info = filesystem.Info{Type: "ntfs", UUID: fmt.Sprintf("%016X", b.serial), BlockSize: b.cluster, SectorSize: b.sector}
	if err := f.openMFT(); err != nil {
		return nil, err
	}
	if err := f.openBitmap(); err != nil {
		return nil, err
	}
	if err := f.readVolume(); err != nil {
		return nil, err
	}
	if err := f.findTail(); err != nil {
		return nil, err
	}
	return f, f.countUsed()
}

// Info implements filesystem.FileSystem.
func (f *fileSystem) Info() filesystem.Info { return f.info }

// openMFT finds the pieces of $MFT. Its first record names the first of them,
// and an attribute list in it the records that name the others; each of those
// lies in a piece that is known already.
func (f *fileSystem) openMFT() error {
	offset := f.boot.mft * f.boot.cluster
	if offset > f.boot.size()-f.boot.record {
		return formatError(0x30, "$MFT at cluster %d of %d", f.boot.mft, f.boot.clusters)
	}
	p := make([]byte, f.boot.record)
	if err := filesystem.ReadFull(f.r, p, offset); err != nil {
		return fmt.Errorf("ntfs: first MFT record at byte %d: %w", offset, err)
	}
	rec, err := parseRecord(p, offset)
	if err != nil {
		return err
	}
	if !rec.inUse() {
		return formatError(offset, "the first MFT record is not in use")
	}
	f.mft = &stream{f: f, what: "$MFT"}
	if err := f.load(f.mft, recordMFT, rec, attrData, ""); err != nil {
		return err
	}
	if f.mft.resident || len(f.mft.runs) == 0 || f.mft.runs[0].lcn != f.boot.mft {
		return formatError(offset, "$MFT does not begin where the boot sector says")
	}
	f.mftBitmap = &stream{f: f, what: "$MFT's bitmap"}
	return f.load(f.mftBitmap, recordMFT, rec, attrBitmap, "")
}

// openBitmap opens $Bitmap. Its size is that of the volume, in bits, rounded
// up to 8 bytes: anything else means that one of the two is wrong.
func (f *fileSystem) openBitmap() (err error) {
	f.bitmap, err = f.openStream("$Bitmap", recordBitmap, attrData, "")
	if err != nil {
		return err
	}
	need := (f.boot.clusters + 7) / 8
	if s := f.bitmap; s.initialized < need || s.size > (need+7)&^7 {
		return formatError(0x28, "$Bitmap of %d bytes, %d of them written, for %d clusters", s.size, s.initialized, f.boot.clusters)
	}
	return f.checkBitmap()
}

// checkBitmap says whether $Bitmap marks what never moves: the boot sector,
// the begin of $MFT, and $Bitmap itself. Else it lies elsewhere.
func (f *fileSystem) checkBitmap() error {
	pages := &bitPages{f: f, page: map[int64][]byte{}}
	for _, r := range append([]run{{0, 0, 1}, {0, f.boot.mft, 1}}, f.bitmap.runs...) {
		if free, err := pages.clear(nil, r); err != nil {
			return err
		} else if len(free) > 0 {
			return formatError(free[0].Offset*f.boot.cluster, "$Bitmap does not mark this cluster, which it must")
		}
	}
	return nil
}

// readVolume reads label, version and flags of $Volume, and finds the state.
//
//	$VOLUME_INFORMATION   8   1  major version
//	                      9   1  minor version
//	                      10  2  flags: 1 dirty, 0x4000 chkdsk was at work
func (f *fileSystem) readVolume() error {
	rec, err := f.readRecord(recordVolume)
	if err != nil {
		return err
	}
	if name, err := rec.find(attrVolumeName, ""); err != nil {
		return err
	} else if name != nil && !name.nonResident() {
		f.info.Label = filesystem.UTF16(name.value(), le)
	}
	a, err := rec.find(attrVolumeInformation, "")
	if err != nil {
		return err
	}
	if a == nil || a.nonResident() || len(a.value()) < 12 {
		return formatError(rec.offset, "$Volume has no $VOLUME_INFORMATION")
	}
	v := a.value()
	switch version := [2]byte{v[8], v[9]}; version {
	case [2]byte{1, 2}, [2]byte{3, 0}, [2]byte{3, 1}:
	default:
		return formatError(rec.offset, "version %d.%d is not supported", v[8], v[9])
	}
	f.info.State, err = f.state(le.Uint16(v[10:]))
	return err
}

// maxSlack is how many clusters may lie behind the last one and still count as
// used without a look: as many as $Bitmap rounds up to.
const maxSlack = 64

// findTail finds what is kept behind the last cluster: normally the sectors up
// to the end of the volume, the last of which is a copy of the boot sector.
// Where much more lies there, since the volume grew, only the sectors in which
// that copy can be.
//
//	clusters of 8 sectors, 8 × 5119 + 7 sectors, and the copy
//	│ cluster 0 │ … │ cluster 5118 │ 7 sectors │ copy │
func (f *fileSystem) findTail() error {
	end := f.boot.clusters * f.boot.cluster
	f.info.Size = f.size
	if f.size-end <= maxSlack*f.boot.cluster {
		f.tail = extent.Align([]extent.Extent{{Offset: end, Length: f.size - end}}, f.boot.cluster, f.size)
		return nil
	}
	last := f.size - f.size%f.boot.sector - f.boot.sector
	p := make([]byte, 512)
	if err := filesystem.ReadFull(f.r, p, last); err != nil {
		return fmt.Errorf("ntfs: last sector of the volume, at byte %d: %w", last, err)
	}
	tail := []extent.Extent{{Offset: end, Length: f.boot.size() + f.boot.sector - end}}
	if string(p[3:11]) == magic {
		tail = append(tail, extent.Extent{Offset: last, Length: f.boot.sector})
	}
	f.tail = extent.Align(tail, f.boot.cluster, f.size)
	if len(tail) == 1 {
		f.info.Size = f.tail[len(f.tail)-1].End()
	}
	return nil
}

// countUsed counts the bits of $Bitmap.
func (f *fileSystem) countUsed() error {
	used := int64(0)
	err := f.windows(func(w []byte, _, n int64) error {
		used += bitmap.Count(w)
		return nil
	})
	f.info.Used = used*f.boot.cluster + extent.Total(f.tail)
	return err
}

// formatError is an error at a byte of the volume.
func formatError(offset int64, format string, args ...any) error {
	return &filesystem.FormatError{Format: "ntfs", Offset: offset, What: fmt.Sprintf(format, args...)}
}

// Stamps implements filesystem.Stamped: the restart pages of $LogFile, and
// $MFT, whose records bear the times and sizes of all files.
func (f *fileSystem) Stamps() (list []extent.Extent) {
	if log, err := f.openStream("$LogFile", recordLogFile, attrData, ""); err == nil && len(log.runs) > 0 && log.runs[0].lcn > 0 {
		first := log.runs[0]
		list = append(list, extent.Extent{Offset: first.lcn * f.boot.cluster, Length: min(2*maxPage, first.length*f.boot.cluster)})
	}
	for _, r := range f.mft.runs {
		if r.lcn > 0 {
			list = append(list, extent.Extent{Offset: r.lcn * f.boot.cluster, Length: r.length * f.boot.cluster})
		}
	}
	return list
}
