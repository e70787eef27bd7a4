package clonezilla

import (
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"

	"github.com/zeebo/blake3"

	"doppel.live/internal/extent"
	"doppel.live/internal/image"
	"doppel.live/internal/partclone"
	"doppel.live/internal/record"
	"doppel.live/internal/store"
)

// volumeWriter writes one volume: the stream of frames, and the frames file.
// Frames are packed by a pipeline, whose sink is put.
type volumeWriter struct {
	image  *writer
	volume *image.Volume
	head   framesHead
	group  int64           // blocks of a frame
	list   []extent.Extent // of whole blocks, merged
	tail   extent.Extent   // what is in use behind the last whole block
	next   int64           // where the next record must begin
	last   int64           // behind the last byte put into a frame
	run    int             // index in list of the extent that next lies in
	job    *job            // the frame being filled; nil before its first block
	pipe   *pipeline
	behind []byte // the content of tail
	closed bool

	// Of the sink's goroutine until the pipeline has ended:
	object  store.Object // the present part
	part    string       // its name
	filled  int64        // its bytes so far
	parts   int          // that were begun
	files   []string     // that are whole
	letters int          // of the names of parts; 0: the volume is one file
	frames  *framesWriter
	hash    *blake3.Hasher // of the present part
	offset  int64
	sizes   []seekSize
}

// newVolumeWriter lays out the stream of a volume and writes what precedes its blocks.
func newVolumeWriter(w *writer, v *image.Volume, allocated []extent.Extent) (*volumeWriter, error) {
	vw := &volumeWriter{image: w, volume: v, hash: blake3.New()}
	if err := vw.layOut(allocated); err != nil {
		return nil, err
	}
	if err := vw.create(); err != nil {
		vw.abort()
		return nil, err
	}
	return vw, nil
}

// layOut chooses the block size and counts frames.
func (w *volumeWriter) layOut(allocated []extent.Extent) error {
	v := w.volume
	if err := extent.Validate(allocated, v.Size); err != nil {
		return err
	}
	w.list = extent.Merge(slices.Clone(allocated))
	w.head = framesHead{stream: streamPartclone, packed: packedZstd, volumeSize: v.Size, blockSize: v.BlockSize}
	w.head.packed = w.image.options.Level.packedAs()
	if v.Method == image.Raw {
		w.head.stream, w.head.blockSize, w.group = streamRaw, 1, frameBytes
		if extent.Total(w.list) != v.Size {
			return errors.New("a volume saved raw is saved whole")
		}
	} else if err := w.chooseBlock(); err != nil {
		return err
	}
	w.head.used = extent.Total(w.list) / w.head.blockSize
	w.head.entries = (w.head.used + w.group - 1) / w.group
	if w.head.stream == streamPartclone {
		bitmap := (v.Size/w.head.blockSize + 7) / 8
		w.head.entries += 2 + (bitmap+frameBytes-1)/frameBytes
	}
	if w.head.packed == packedZstd {
		w.head.entries++
		if w.head.entries > math.MaxUint32/seekEntry-2 {
			return errors.New("too large for one stream")
		}
	}
	if len(w.list) > 0 {
		w.next = w.list[0].Offset
	} else {
		w.next = w.tail.Offset
	}
	return nil
}

// chooseBlock takes the file system's block size where its allocation lies on
// that, else sectors; and cuts off what lies behind the last whole block.
func (w *volumeWriter) chooseBlock() error {
	for _, size := range []int64{w.volume.BlockSize, 512} {
		if size < 512 || size > 64<<20 {
			continue
		}
		end := w.volume.Size / size * size
		aligned := func(e extent.Extent) bool { return e.Offset%size == 0 && (e.Length%size == 0 || e.End() > end) }
		if i := slices.IndexFunc(w.list, func(e extent.Extent) bool { return !aligned(e) }); i >= 0 {
			continue
		}
		w.head.blockSize, w.group = size, partclone.Group(size)
		w.tail = extent.Extent{Offset: end}
		if n := len(w.list); n > 0 && w.list[n-1].End() > end {
			last := &w.list[n-1]
			w.tail.Length = last.End() - end
			if last.Length -= w.tail.Length; last.Length == 0 {
				w.list = w.list[:n-1]
			}
		}
		return nil
	}
	return errors.New("its allocation does not lie on sectors of 512 bytes")
}

// create makes the files, starts the pipeline and submits the frames before the blocks.
func (w *volumeWriter) create() (err error) {
	if split := w.image.options.Split; split > 0 {
		// The worst is taken: nothing is packed smaller. Room is left for what is not blocks.
		most := w.head.used*w.head.blockSize + (w.volume.Size/w.head.blockSize)/8
		if w.letters = 2; most/split+most/split/8+2 > 26*26 {
			w.letters = 3
		}
	}
	if err := w.startPart(); err != nil {
		return err
	}
	frames, err := w.image.store.Create(w.image.path(framesName(w.part)), 0o644)
	if err != nil {
		return err
	}
	if w.frames, err = newFramesWriter(frames, w.head); err != nil {
		return err
	}
	if w.pipe, err = startPipeline(w.image.options.Workers, packer(w.image.options.Level), w.put); err != nil {
		return err
	}
	if w.head.stream == streamRaw {
		return nil
	}
	return w.writeBitmap()
}

// writeBitmap submits the header, the bitmap and its checksum.
func (w *volumeWriter) writeBitmap() error {
	header := partclone.New(partcloneName(*w.volume), w.volume.Size, w.head.blockSize, w.head.used)
	if err := w.submit(kindHeader, header.Encode()); err != nil {
		return err
	}
	crc := uint32(0)
	piece := make([]byte, min(frameBytes, header.BitmapSize()))
	for at := int64(0); at < header.BitmapSize(); at += frameBytes {
		bits := piece[:min(frameBytes, header.BitmapSize()-at)]
		partclone.PutBits(bits, at*8, w.list, w.head.blockSize)
		crc = crc32.Update(crc, crc32.IEEETable, bits)
		if err := w.submit(kindBitmap, bits); err != nil {
			return err
		}
	}
	sum := partclone.StoredSum(crc)
	return w.submit(kindBitmapSum, sum[:])
}

func (w *volumeWriter) submit(kind frameKind, data []byte) error {
	j, err := w.pipe.next()
	if err != nil {
		return err
	}
	j.kind, j.plainData = kind, append(j.plainData, data...)
	w.pipe.submit(j)
	return nil
}

// startPart begins the next file of the volume, or the only one.
func (w *volumeWriter) startPart() (err error) {
	w.part = volumeFile(*w.volume, w.image.options.Level)
	if w.letters > 0 {
		name := partName(w.parts, w.letters)
		if name == "" {
			return fmt.Errorf("parts of %d bytes are too small: more than %d would be needed", w.image.options.Split, w.parts)
		}
		w.part += "." + name
	}
	w.parts++
	w.filled = 0
	w.hash.Reset()
	w.object, err = w.image.store.Create(w.image.path(w.part), 0o600)
	return err
}

// endPart gives the present file its name.
func (w *volumeWriter) endPart() error {
	if err := w.object.Commit(); err != nil {
		return err
	}
	w.image.sums[w.part] = [32]byte(w.hash.Sum(nil))
	w.files = append(w.files, w.part)
	return nil
}

// put is the sink: it writes a packed frame, into the next part where it would
// make the present one too long.
func (w *volumeWriter) put(j *job) error {
	j.offset = w.offset
	if w.letters > 0 && w.filled > 0 && w.filled+int64(len(j.packData)) > w.image.options.Split {
		if err := w.endPart(); err != nil {
			return err
		}
		if err := w.startPart(); err != nil {
			return err
		}
	}
	if _, err := w.object.Write(j.packData); err != nil {
		return err
	}
	w.filled += int64(len(j.packData))
	w.hash.Write(j.packData)
	w.offset += int64(len(j.packData))
	w.sizes = append(w.sizes, seekSize{j.stored, j.plain})
	return w.frames.add(j.frame)
}

// WriteRecord implements record.Writer.
func (w *volumeWriter) WriteRecord(r record.Record) error {
	if w.closed || r.Volume != w.volume.Index || r.Offset != w.next {
		return fmt.Errorf("record at byte %d, wanted is byte %d", r.Offset, w.next)
	}
	data := r.Data
	for len(data) > 0 && w.run < len(w.list) {
		n, err := w.fill(data)
		if err != nil {
			return err
		}
		data = data[n:]
	}
	if len(data) == 0 {
		return nil
	}
	if int64(len(w.behind)+len(data)) > w.tail.Length || w.next != w.tail.Offset+int64(len(w.behind)) {
		return fmt.Errorf("record at byte %d goes beyond the allocation", r.Offset)
	}
	w.behind = append(w.behind, data...)
	w.next += int64(len(data))
	return nil
}

// fill moves the head of data into the present frame and submits that when it
// is full. It gives the number of bytes that it took.
func (w *volumeWriter) fill(data []byte) (n int, err error) {
	if w.job == nil {
		if w.job, err = w.pipe.next(); err != nil {
			return 0, err
		}
		w.job.plainData = slices.Grow(w.job.plainData, int(min(w.group, w.head.used)*w.head.blockSize)+partclone.SumSize)
		w.job.kind, w.job.sum, w.job.first = kindData, w.head.stream == streamPartclone, w.next/w.head.blockSize
	}
	j, run := w.job, w.list[w.run]
	n = int(min(int64(len(data)), run.End()-w.next, w.group*w.head.blockSize-int64(len(j.plainData))))
	j.plainData = append(j.plainData, data[:n]...)
	w.next += int64(n)
	w.last = w.next
	if int64(len(j.plainData)) == w.group*w.head.blockSize {
		w.flush()
	}
	if w.next == run.End() {
		if w.run++; w.run < len(w.list) {
			w.next = w.list[w.run].Offset
		} else if w.tail.Length > 0 {
			w.next = w.tail.Offset
		}
	}
	return n, nil
}

// flush submits the present frame.
func (w *volumeWriter) flush() {
	j := w.job
	j.end = w.last / w.head.blockSize
	j.used = uint32(int64(len(j.plainData)) / w.head.blockSize)
	w.pipe.submit(j)
	w.job = nil
}

// Close implements image.VolumeWriter.
func (w *volumeWriter) Close() error {
	if w.closed {
		return nil
	}
	err := w.finish()
	if err != nil {
		w.abort()
		return err
	}
	w.closed = true
	return nil
}

func (w *volumeWriter) finish() error {
	if w.run < len(w.list) || int64(len(w.behind)) != w.tail.Length {
		return fmt.Errorf("saving ended at byte %d, before the end of the allocation", w.next)
	}
	if w.job != nil {
		w.flush()
	}
	pipe := w.pipe
	w.pipe = nil
	if err := pipe.finish(); err != nil {
		return err
	}
	if w.head.packed == packedZstd {
		j := &job{frame: frame{kind: kindSeek}, packData: encodeSeekTable(w.sizes)}
		label(j)
		if err := w.put(j); err != nil {
			return err
		}
	}
	return w.commit()
}

// commit gives the files their names, the volume's own last.
func (w *volumeWriter) commit() error {
	v, name := w.volume, volumeFile(*w.volume, w.image.options.Level)
	if w.letters > 0 {
		name += "." + partName(0, w.letters)
	}
	sum, err := w.frames.finish()
	if err != nil {
		return err
	}
	if len(w.behind) > 0 {
		if err := w.image.write(tailFile(*v), w.behind); err != nil {
			return err
		}
		w.files = append(w.files, tailFile(*v))
	}
	if err := w.endPart(); err != nil {
		return err
	}
	w.image.sums[framesName(name)] = sum
	v.File = name
	v.Used = extent.Total(w.list) + w.tail.Length
	return w.image.note(*v, append(w.files, framesName(name)))
}

// abort ends the goroutines and removes the files that have no name yet.
func (w *volumeWriter) abort() {
	if w.closed {
		return
	}
	w.closed = true
	if w.pipe != nil {
		w.pipe.fail(errAborted)
		w.pipe.finish()
	}
	if w.object != nil {
		w.object.Abort()
	}
	if w.frames != nil {
		w.frames.object.Abort()
	}
}
