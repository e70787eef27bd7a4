package clonezilla

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"doppel.live/internal/image"
	"doppel.live/internal/store"
)

// fileProgress names, while an image is saved, the volumes that are complete.
const fileProgress = "doppel-save.json"

// ErrChanged is wrapped where a save cannot go on since its source is not as
// it was.
var ErrChanged = errors.New("source is not as it was when its saving began")

// saveProgress is what a save that was interrupted leaves to go on with.
type saveProgress struct {
	Format  int           `json:"format"` // 1
	Disks   []SummaryDisk `json:"disks"`
	Volumes []savedVolume `json:"volumes"` // that are complete
}

// savedVolume is a volume whose files are all there.
type savedVolume struct {
	Volume image.Volume         `json:"volume"`
	Seal   string               `json:"seal"` // of the source, as Options.Seals
	Files  map[string]savedFile `json:"files"`
}

type savedFile struct {
	Size int64  `json:"size"`   // bytes
	Sum  string `json:"blake3"` // hexadecimal
}

var _ image.Resumed = (*writer)(nil)

// Saved implements image.Resumed.
func (w *writer) Saved(index int) bool {
	return slices.ContainsFunc(w.progress.Volumes, func(s savedVolume) bool { return s.Volume.Index == index })
}

// Kept implements image.Resumed.
func (w *writer) Kept() bool { return w.left }

// note writes down that a volume is complete, with the files that hold it.
func (w *writer) note(v image.Volume, files []string) error {
	if w.options.Seals == nil {
		return nil
	}
	entries, err := w.store.List(w.manifest.Name)
	if err != nil {
		return err
	}
	s := savedVolume{Volume: v, Seal: w.options.Seals[v.Index], Files: map[string]savedFile{}}
	for _, e := range entries {
		if slices.Contains(files, e.Name) {
			sum := w.sums[e.Name]
			s.Files[e.Name] = savedFile{e.Size, hex.EncodeToString(sum[:])}
		}
	}
	w.progress.Volumes = append(w.progress.Volumes, s)
	return w.writeProgress()
}

func (w *writer) writeProgress() error {
	data, err := json.MarshalIndent(w.progress, "", "\t")
	if err != nil {
		return err
	}
	return store.WriteFile(w.store, w.path(fileProgress), append(data, '\n'), 0o644)
}

func disksOf(m *image.Manifest) (list []SummaryDisk) {
	for _, d := range m.Disks {
		list = append(list, SummaryDisk{d.Name, d.Model, d.Serial, d.Size})
	}
	return list
}

// Begun tells whether a save of that name was interrupted and left volumes
// that are complete.
func Begun(s store.Store, name string) bool {
	d, err := listDirectory(s, name)
	return err == nil && d.begun()
}

func (d *directory) begun() bool {
	return !d.foreign && !d.committed() && d.has(fileProgress)
}

// CheckResume gives the indexes of the volumes that Resume would take over. It
// fails as Resume does, and writes nothing.
func CheckResume(s store.Store, m *image.Manifest, o Options) ([]int, error) {
	p, _, err := loadProgress(s, m, o)
	var list []int
	for _, v := range p.Volumes {
		list = append(list, v.Volume.Index)
	}
	return list, err
}

// Resume goes on with an image named m.Name that was begun and interrupted:
// the volumes that are complete stay, all else is removed and written anew.
// The error wraps ErrChanged where m or the seals are not those of then, and
// fs.ErrNotExist where nothing was begun.
func Resume(s store.Store, m *image.Manifest, o Options) (image.Writer, error) {
	p, d, err := loadProgress(s, m, o)
	if err != nil {
		return nil, err
	}
	w := newWriter(s, o)
	if err := w.describe(m); err != nil {
		return nil, err
	}
	w.progress = p
	for _, saved := range p.Volumes {
		v := findVolume(w.manifest, saved.Volume.Index)
		v.File, v.Used, v.Alias = saved.Volume.File, saved.Volume.Used, saved.Volume.Alias
		for name, f := range saved.Files {
			sum, _ := f.sum() // was checked
			w.sums[name] = sum
		}
	}
	for name := range d.entries {
		if _, ok := w.sums[name]; !ok && name != fileProgress && name != fileManifest {
			if err := s.Remove(w.path(name)); err != nil {
				return nil, err
			}
		}
	}
	if err := sweep(s, m.Name); err != nil {
		return nil, err
	}
	return w, w.writeManifest()
}

func (f savedFile) sum() (sum [32]byte, err error) {
	b, err := hex.DecodeString(f.Sum)
	if err == nil && len(b) != len(sum) {
		err = errors.New("not the length of a BLAKE3 sum")
	}
	copy(sum[:], b)
	return sum, err
}

// loadProgress reads what was begun and holds it against what is to be saved.
func loadProgress(s store.Store, m *image.Manifest, o Options) (p saveProgress, d *directory, err error) {
	if d, err = listDirectory(s, m.Name); err != nil {
		return p, nil, err
	}
	if err := d.strange(); err != nil {
		return p, nil, err
	}
	if !d.begun() {
		return p, nil, fmt.Errorf("%s: no save that could be gone on with: %w", m.Name, fs.ErrNotExist)
	}
	data, err := store.ReadFile(s, m.Name+"/"+fileProgress, maxManifest)
	if err != nil {
		return p, nil, err
	}
	if err := json.Unmarshal(data, &p); err != nil || p.Format != 1 {
		return p, nil, fmt.Errorf("%w: %s: format %d, %v", image.ErrDamaged, fileProgress, p.Format, err)
	}
	if !slices.Equal(p.Disks, disksOf(m)) {
		return p, nil, fmt.Errorf("%w: other disks, or other names of them", ErrChanged)
	}
	for _, saved := range p.Volumes {
		if err := d.fits(saved, m, o); err != nil {
			return p, nil, err
		}
	}
	return p, d, nil
}

// fits holds one complete volume against what is to be saved, and against the
// files that are there.
func (d *directory) fits(saved savedVolume, m *image.Manifest, o Options) error {
	now := findVolume(m, saved.Volume.Index)
	if now == nil {
		return fmt.Errorf("%w: it had a volume %s", ErrChanged, clean(saved.Volume.Name))
	}
	then := saved.Volume
	same := then.Used >= 0 && then.Used <= now.Size && now.Name == then.Name && now.Offset == then.Offset && now.Size == then.Size && now.Method == then.Method && now.UUID == then.UUID
	if !same || saved.Seal == "" || saved.Seal != o.Seals[now.Index] {
		return fmt.Errorf("%w: the partition table or %s was written to", ErrChanged, clean(then.Name))
	}
	if _, ok := saved.Files[then.File]; !ok {
		return fmt.Errorf("%w: %s names no file of %s", image.ErrDamaged, fileProgress, clean(then.Name))
	}
	for name, f := range saved.Files {
		if _, err := f.sum(); err != nil {
			return fmt.Errorf("%w: %s: %w", image.ErrDamaged, fileProgress, err)
		}
		if e, ok := d.entries[name]; !ok || !e.Regular || e.Size != f.Size {
			return fmt.Errorf("%w: %s is missing, or not as long as it was", image.ErrDamaged, clean(name))
		}
	}
	return nil
}
