package clonezilla

import (
	"bytes"
	"crypto/sha512"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/zeebo/blake3"

	"doppel.live/internal/extent"
	"doppel.live/internal/image"
	"doppel.live/internal/store"
)

var errAborted = errors.New("saving was given up")

// keptArea is the most of an area that stays in memory for Clonezilla's
// table files; longer ones (gaps) are in none of those.
const keptArea = 1 << 20 // bytes

// writer makes one image directory.
type writer struct {
	store    store.Store
	manifest *image.Manifest
	options  Options
	sums     map[string][32]byte // BLAKE3 by file, for B3SUMS
	areas    [][]kept            // contents by disk
	volume   *volumeWriter       // the last one created
	ended    bool                // committed or aborted
	progress saveProgress        // what a save that is interrupted could go on with
	left     bool                // Abort left it
}

// kept is an area of a disk with its content.
type kept struct {
	offset int64
	data   []byte
}

var _ image.Writer = (*writer)(nil)

// Create starts an image named m.Name in s. m describes it fully; Create keeps
// a copy, in which it fills in the names of files and the bytes in use. A
// folder of that name must not exist, or be as empty as a killed save leaves it. Every area, and every volume of method
// Blocks and Raw, must be written before Commit.
func Create(s store.Store, m *image.Manifest, o Options) (image.Writer, error) {
	w := newWriter(s, o)
	if err := w.describe(m); err != nil {
		return nil, err
	}
	if err := s.MakeFolder(m.Name); errors.Is(err, fs.ErrExist) && Empty(s, m.Name) {
		if err := sweep(s, m.Name); err != nil {
			return nil, err
		}
	} else if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%w: %s", ErrExists, m.Name)
	} else if err != nil {
		return nil, err
	}
	// Until Commit this file says what was being saved.
	if err := w.writeManifest(); err != nil {
		w.Abort()
		return nil, err
	}
	return w, nil
}

// Empty tells whether there is a folder of that name with nothing in it: what
// a save leaves that is killed as it begins.
func Empty(s store.Store, name string) bool {
	entries, err := s.List(name)
	return err == nil && len(entries) == 0
}

// sweep removes what killed writers left without a name.
func sweep(s store.Store, folder string) error {
	if sweeper, ok := s.(store.Sweeper); ok {
		return sweeper.Sweep(folder)
	}
	return nil
}

func newWriter(s store.Store, o Options) *writer {
	return &writer{store: s, options: o, sums: make(map[string][32]byte)}
}

// describe copies the manifest and checks that an image can be made of it.
func (w *writer) describe(m *image.Manifest) error {
	if err := CheckName(m.Name); err != nil {
		return err
	}
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if w.manifest, err = parseManifest(data); err != nil {
		return err
	}
	giveAliases(w.manifest)
	w.areas = make([][]kept, len(w.manifest.Disks))
	w.progress = saveProgress{Format: 1, Disks: disksOf(m)}
	files := make(map[string]string)
	for _, d := range w.manifest.Disks {
		for i := range d.Volumes {
			v := &d.Volumes[i]
			v.File = ""
			if other, ok := files[baseName(volumeAlias(*v))]; ok {
				return fmt.Errorf("volumes %s and %s would have the same files", other, v.Name)
			}
			files[baseName(volumeAlias(*v))] = v.Name
		}
		for i := range d.Areas {
			d.Areas[i].File = ""
		}
	}
	return nil
}

func (w *writer) path(file string) string { return w.manifest.Name + "/" + file }

// write writes a small file of the image.
func (w *writer) write(file string, data []byte) error {
	w.sums[file] = blake3.Sum256(data)
	return store.WriteFile(w.store, w.path(file), data, 0o644)
}

func (w *writer) writeManifest() error {
	data, err := json.MarshalIndent(w.manifest, "", "\t")
	if err != nil {
		return err
	}
	return w.write(fileManifest, append(data, '\n'))
}

// Area implements image.Writer.
func (w *writer) Area(disk int, area image.Area, data []byte) error {
	if w.ended || disk < 0 || disk >= len(w.manifest.Disks) || int64(len(data)) != area.Length {
		return fmt.Errorf("area %s at byte %d: not of this image", area.Name, area.Offset)
	}
	d := &w.manifest.Disks[disk]
	i := slices.IndexFunc(d.Areas, func(a image.Area) bool {
		return a.Name == area.Name && a.Offset == area.Offset && a.Length == area.Length
	})
	if i < 0 {
		return fmt.Errorf("area %s at byte %d: not in the manifest", area.Name, area.Offset)
	}
	d.Areas[i].File = areaFile(*d, area)
	if len(data) <= keptArea {
		w.areas[disk] = append(w.areas[disk], kept{area.Offset, bytes.Clone(data)})
	}
	return w.write(d.Areas[i].File, data)
}

// Create implements image.Writer.
func (w *writer) Create(index int, allocated []extent.Extent) (image.VolumeWriter, error) {
	v := findVolume(w.manifest, index)
	switch {
	case w.ended:
		return nil, errAborted
	case v == nil || v.Method != image.Blocks && v.Method != image.Raw:
		return nil, fmt.Errorf("volume %d has no data to save", index)
	case v.File != "" || w.volume != nil && !w.volume.closed:
		return nil, fmt.Errorf("%s: volumes are written once and one at a time", v.Name)
	}
	volume, err := newVolumeWriter(w, v, allocated)
	if err != nil {
		return nil, err
	}
	w.volume = volume
	return volume, nil
}

// findVolume gives the volume of that index, or nil.
func findVolume(m *image.Manifest, index int) *image.Volume {
	for _, d := range m.Disks {
		for i := range d.Volumes {
			if d.Volumes[i].Index == index {
				return &d.Volumes[i]
			}
		}
	}
	return nil
}

// Commit implements image.Writer.
func (w *writer) Commit(log []byte) error {
	if w.ended {
		return errAborted
	}
	if err := w.complete(); err != nil {
		return err
	}
	for i := range w.manifest.Disks {
		if err := w.writeTables(i); err != nil {
			return err
		}
	}
	if err := w.writeLists(); err != nil {
		return err
	}
	for name, data := range w.options.Files {
		if err := w.write(baseName(name), data); err != nil {
			return err
		}
	}
	if err := w.writeManifest(); err != nil {
		return err
	}
	if err := w.store.Remove(w.path(fileProgress)); err != nil {
		return err
	}
	// A chain of sums: Info-img-id.txt has that of clonezilla-img, which has
	// that of B3SUMS, which has those of all other files.
	sums := w.sumsFile()
	commit := w.commitFile(log, blake3.Sum256(sums))
	if err := w.write(fileSums, sums); err != nil {
		return err
	}
	if err := w.write(fileID, idFile(commit)); err != nil {
		return err
	}
	if err := store.WriteFile(w.store, w.path(fileCommit), commit, 0o644); err != nil {
		return err
	}
	w.ended = true
	return nil
}

// complete tells whether all that the manifest names was written.
func (w *writer) complete() error {
	for _, d := range w.manifest.Disks {
		for _, v := range d.Volumes {
			if v.File == "" && (v.Method == image.Blocks || v.Method == image.Raw) {
				return fmt.Errorf("%s was not saved", v.Name)
			}
		}
		for _, a := range d.Areas {
			if a.File == "" {
				return fmt.Errorf("area %s of %s at byte %d was not saved", a.Name, d.Name, a.Offset)
			}
		}
	}
	return nil
}

// commitFile is the content of clonezilla-img, the log of the job.
func (w *writer) commitFile(log []byte, sums [32]byte) []byte {
	var b bytes.Buffer
	t := w.manifest.Created.UTC()
	fmt.Fprintf(&b, "This image was saved by %s at %s UTC, in the layout of Clonezilla.\n", clean(w.manifest.Tool), t.Format("2006-01-02 15:04:05"))
	b.WriteString("The log during saving:\n----------------------------------------------------------\n")
	b.Write(log)
	if n := len(log); n > 0 && log[n-1] != '\n' {
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "### End of log ###\n%s### Image created time: %s\n", sumsLine(sums), t.Format("2006-0102-1504"))
	return b.Bytes()
}

// sumsLine is the line of clonezilla-img with the BLAKE3 of B3SUMS.
func sumsLine(sum [32]byte) string { return fmt.Sprintf("### B3SUMS: %x\n", sum) }

// idFile is the content of Info-img-id.txt for that clonezilla-img.
func idFile(commit []byte) []byte {
	return fmt.Appendf(nil, "# This checksum is only for identifying the image. Created by the command: sha512sum clonezilla-img\nIMG_ID=%x\n", sha512.Sum512(commit))
}

// sumsFile is the content of B3SUMS.
func (w *writer) sumsFile() []byte {
	var b strings.Builder
	for _, file := range slices.Sorted(maps.Keys(w.sums)) {
		fmt.Fprintf(&b, "%x  %s\n", w.sums[file], file)
	}
	return []byte(b.String())
}

// Abort implements image.Writer.
func (w *writer) Abort() error {
	if w.ended {
		return nil
	}
	w.ended = true
	if w.volume != nil {
		w.volume.abort()
	}
	if w.left = w.options.Seals != nil && len(w.progress.Volumes) > 0; w.left {
		return nil
	}
	return Remove(w.store, w.manifest.Name)
}

// Remove removes an image, or what is left of one. What makes it an image goes
// first, so that a crash on the way leaves nothing that looks whole.
func Remove(s store.Store, name string) error {
	if err := checkFolder(name); err != nil {
		return err
	}
	if err := s.Remove(name + "/" + fileCommit); err != nil {
		return err
	}
	return s.Remove(name)
}

// Rename gives an image another name.
func Rename(s store.Store, from, to string) error {
	if err := checkFolder(from); err != nil {
		return err
	}
	if err := CheckName(to); err != nil {
		return err
	}
	err := s.Rename(from, to)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %s", ErrExists, to)
	}
	return err
}
