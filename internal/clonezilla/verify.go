package clonezilla

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/zeebo/blake3"

	"doppel.live/internal/image"
	"doppel.live/internal/progress"
	"doppel.live/internal/store"
)

// verifier looks through one image.
type verifier struct {
	*directory
	ctx    context.Context
	meter  *progress.Meter
	result Report

	lists   []sumList
	seen    map[string]bool // files whose sum was compared
	counted map[string]bool // foreign files that were counted with their volume
}

// Verify reads every byte of an image and checks every checksum. What is wrong
// with the image stands in the Report; the error is for what kept Verify from
// looking. It reports Start, Step, Advance and Warning events.
func Verify(ctx context.Context, s store.Store, name string, report progress.Func) (Report, error) {
	v := &verifier{ctx: ctx, meter: &progress.Meter{Report: report}, seen: make(map[string]bool), counted: make(map[string]bool)}
	v.result = Report{Image: clean(name), Volumes: []VolumeReport{}, Problems: []string{}, Warnings: []string{}}
	var err error
	if v.directory, err = openDirectory(s, name); err != nil {
		if errors.Is(err, image.ErrDamaged) || errors.Is(err, ErrIncomplete) {
			v.problem(err)
			return v.result, nil
		}
		return v.result, err
	}
	var total int64 // stored bytes
	for _, e := range v.entries {
		total += e.Size
	}
	v.meter.Start("checking "+v.result.Image, total)
	v.readSums()
	for _, d := range v.manifest.Disks {
		if len(d.Damaged) > 0 {
			v.warn(d.Name + " was saved with damage: some of its tables or boot code could not be read")
		}
	}
	for _, volume := range v.manifest.AllVolumes() {
		if err := v.volume(volume); err != nil {
			return v.result, err
		}
	}
	v.meter.Step("checking lists and sums", "", total-v.meter.Done())
	if err := v.files(); err != nil {
		return v.result, err
	}
	v.result.Restorable, v.result.Damaged = len(v.result.Problems) == 0, v.manifest.Lost()
	for _, volume := range v.result.Volumes {
		v.result.Restorable = v.result.Restorable && volume.Restorable
	}
	return v.result, nil
}

// problem notes damage that belongs to no volume.
func (v *verifier) problem(err error) {
	v.result.Changed = true
	v.result.Problems = append(v.result.Problems, clean(err.Error()))
}

func (v *verifier) warn(text string) {
	v.result.Warnings = append(v.result.Warnings, text)
	v.meter.Warn(text)
}

// advance counts stored bytes that were read.
func (v *verifier) advance(n int64) {
	v.result.Bytes += n
	v.meter.Add(n)
}

// volume checks one volume. The error is for a stop by the context.
func (v *verifier) volume(volume image.Volume) error {
	r := VolumeReport{Name: volume.Name, Method: volume.Method, Problems: []string{}, Notes: []string{}}
	var size int64
	parts, _ := v.parts(volume.File) // what is wrong with them shows when they are read
	for _, part := range parts {
		size += v.entries[part].Size
	}
	v.meter.Step("checking "+volume.Name, volume.Name, size)
	saved, err := v.open(volume)
	if err == nil {
		switch s := saved.(type) {
		case *framed:
			err = v.frames(s, &r)
		case *forward:
			err = v.stream(s, &r)
		}
		saved.Close()
	}
	if err == nil && volume.Method == image.Absent && volume.File != "" {
		err = v.held(volume, &r)
	}
	if stop := v.ctx.Err(); stop != nil {
		return stop
	}
	if err != nil {
		v.result.Changed = true
		r.Problems = append(r.Problems, clean(err.Error()))
	}
	if lost := volume.Lost(); lost > 0 {
		v.warn(fmt.Sprintf("%s was saved with damage: %d bytes of it could not be read%s", volume.Name, lost, hit(volume)))
	}
	v.absent(volume, &r)
	r.Restorable = len(r.Problems) == 0
	v.result.Volumes = append(v.result.Volumes, r)
	return nil
}

// hit says whom the damage of a volume hits.
func hit(volume image.Volume) string {
	text := ""
	if h := volume.Hit; h != nil && h.Files >= 0 {
		text = fmt.Sprintf("; %d files are damaged", h.Files)
		if h.Metadata {
			text += ", and perhaps the file system itself"
		}
	}
	return text + "; doppel-damaged-files.txt in the image has more"
}

// frames checks every frame of a volume, and at the same time the sum of its file.
func (v *verifier) frames(s *framed, r *VolumeReport) error {
	whole, err := v.newPartSums(s.volume.File)
	if err != nil {
		return err
	}
	var sizes []seekSize
	pipe, err := startPipeline(runtime.GOMAXPROCS(0), func() (func(*job) error, error) {
		unpack, err := newUnpacker(s.framesFile.packed)
		return func(j *job) (err error) {
			var out []byte
			if out, err = s.checkFrame(unpack, j.plainData[:0], j.frame, j.packData); err != nil {
				return err
			}
			j.plainData = out
			if int64(j.used) != s.usedIn(j.frame) {
				return fmt.Errorf("%w: frame at byte %d does not fit the bitmap", image.ErrDamaged, j.offset)
			}
			return nil
		}, err
	}, func(j *job) error {
		if err := whole.add(j.packData); err != nil {
			return err
		}
		r.Frames++
		r.Bytes += int64(j.used) * s.blockSize
		v.advance(int64(j.stored))
		if j.kind == kindSeek {
			return checkSeekTable(j.packData, sizes)
		}
		sizes = append(sizes, seekSize{j.stored, j.plain})
		return v.ctx.Err()
	})
	if err != nil {
		return err
	}
	readErr := s.submitAll(pipe)
	if err := pipe.finish(); err != nil {
		return err
	}
	if readErr != nil {
		return readErr
	}
	r.Bytes += int64(len(s.tail))
	return whole.end()
}

// compareWhole holds the BLAKE3 of a volume's file against the list of an image of ours.
func (v *verifier) compareWhole(file string, sum []byte) error {
	if v.foreign || len(v.lists) == 0 {
		return nil
	}
	v.seen[file] = true
	return v.compare(v.lists[0], file, sum)
}

// submitAll reads all frames into a pipeline.
func (s *framed) submitAll(pipe *pipeline) error {
	for i := range s.entries {
		f, err := s.frame(i)
		if err != nil {
			return err
		}
		j, err := pipe.next()
		if err != nil {
			return err
		}
		j.frame = f
		if j.packData, err = s.readPacked(f, j.packData); err != nil {
			return err
		}
		pipe.submit(j)
	}
	return nil
}

// checkSeekTable tells whether a seek table lists those frames.
func checkSeekTable(data []byte, want []seekSize) error {
	got, err := parseSeekTable(data)
	if err == nil && !slices.Equal(got, want) {
		err = fmt.Errorf("%w: the seek table lists other frames than there are", image.ErrDamaged)
	}
	return err
}

// files checks the sums of all files that were not seen yet.
func (v *verifier) files() error {
	for _, l := range v.lists {
		for file := range l.sums {
			if !v.has(file) && !v.seen[file] {
				v.seen[file] = true
				v.fileProblem(file, fmt.Errorf("%w: %s is missing", image.ErrDamaged, file))
			}
		}
	}
	for file, e := range v.entries {
		if !e.Regular || v.seen[file] {
			continue
		}
		if err := v.ctx.Err(); err != nil {
			return err
		}
		if err := v.file(file); err != nil {
			v.fileProblem(file, err)
		}
	}
	slices.Sort(v.result.Problems)
	return nil
}

// fileProblem notes what is wrong with a file at the volume that it belongs to.
func (v *verifier) fileProblem(file string, err error) {
	v.result.Changed = true
	name := v.volumeOf(file)
	for i := range v.result.Volumes {
		if r := &v.result.Volumes[i]; r.Name == name && name != "" {
			r.Restorable = false
			r.Problems = append(r.Problems, clean(err.Error()))
			return
		}
	}
	v.problem(err)
}

// file checks one file that is no volume.
func (v *verifier) file(file string) error {
	if !v.counted[file] {
		v.advance(v.entries[file].Size)
	}
	switch {
	case strings.HasSuffix(file, "SUMS"), file == fileID:
		return nil // see checkChain; Clonezilla lists neither
	case file == fileCommit && !v.foreign:
		return v.checkChain()
	}
	return v.sumFile(file)
}

// checkChain holds clonezilla-img against its sum in Info-img-id.txt, and
// B3SUMS against its sum in clonezilla-img.
func (v *verifier) checkChain() error {
	var data [3][]byte
	for i, file := range []string{fileCommit, fileID, fileSums} {
		var err error
		if data[i], err = v.readFile(file); err != nil {
			return err
		}
	}
	if !bytes.Equal(data[1], idFile(data[0])) {
		return fmt.Errorf("%w: %s and %s do not fit each other", image.ErrDamaged, fileCommit, fileID)
	}
	if !bytes.Contains(data[0], []byte("\n"+sumsLine(blake3.Sum256(data[2])))) {
		return fmt.Errorf("%w: %s and %s do not fit each other", image.ErrDamaged, fileSums, fileCommit)
	}
	return nil
}
