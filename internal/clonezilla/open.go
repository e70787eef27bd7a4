package clonezilla

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"

	"github.com/zeebo/blake3"

	"doppel.live/internal/image"
	"doppel.live/internal/store"
)

// directory is an image directory, opened for reading.
type directory struct {
	store    store.Store
	name     string
	manifest *image.Manifest
	foreign  bool                   // saved by real Clonezilla: there is no doppel.json
	made     map[image.Area][]byte  // areas put together from several of Clonezilla's files
	told     foreignLists           // what Clonezilla's lists say
	entries  map[string]store.Entry // by name
	sums     map[string][]byte      // B3SUMS, of our own images
}

var _ image.Image = (*directory)(nil)

// Open opens an image. One that was never finished is ErrIncomplete.
func Open(s store.Store, name string) (image.Image, error) { return openDirectory(s, name) }

func openDirectory(s store.Store, name string) (*directory, error) {
	d, err := listDirectory(s, name)
	if err != nil {
		return nil, err
	}
	if d.isRescue() {
		return nil, fmt.Errorf("%s: %w", name, ErrRescue)
	}
	if err := d.strange(); err != nil {
		return nil, err
	}
	if d.begun() {
		return nil, fmt.Errorf("%s: %w", name, ErrBegun)
	}
	if !d.committed() {
		return nil, fmt.Errorf("%s: %w", name, ErrIncomplete)
	}
	return d, d.readManifest()
}

// committed tells whether the saving of the image came to its end. Clonezilla
// has written clonezilla-img since 2011; what it saved before has none of the
// lists that it writes since.
func (d *directory) committed() bool {
	return d.has(fileCommit) || d.foreign && (d.encrypted() != "" || !d.has("dev-fs.list") && !d.has("blkid.list") && !d.has("blkdev.list"))
}

// strange is the error for a folder that holds links, devices or pipes.
func (d *directory) strange() error {
	for _, e := range d.entries {
		if !e.Regular && !e.Folder {
			return fmt.Errorf("%s: %w: %s is a link, a device or a pipe, and nothing in an image may be: remove it, or put the file itself there",
				d.name, store.ErrNotFile, clean(e.Name))
		}
	}
	return nil
}

// listDirectory looks what lies in the folder of an image, whole or not.
func listDirectory(s store.Store, name string) (*directory, error) {
	if err := checkFolder(name); err != nil {
		return nil, err
	}
	list, err := s.List(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w: there is no folder of this name", name, ErrNoImage)
	} else if err != nil {
		return nil, err
	}
	d := &directory{store: s, name: name, entries: make(map[string]store.Entry, len(list))}
	for _, e := range list {
		d.entries[e.Name] = e
	}
	d.foreign = !d.has(fileManifest)
	if !d.isRescue() && !d.has(fileCommit) && !d.has(fileManifest) && !d.has(fileParts) && !d.has(fileDisk) && d.encrypted() == "" {
		return nil, fmt.Errorf("%s: %w", name, ErrNoImage)
	}
	return d, nil
}

// isRescue tells whether this is what was read so far of a disk that fails.
func (d *directory) isRescue() bool { return d.has(fileRescue) && !d.has(fileManifest) }

// has tells whether a file is there.
func (d *directory) has(file string) bool { return d.entries[file].Regular }

func (d *directory) path(file string) string { return d.name + "/" + file }

// readFile reads a small file of the image.
func (d *directory) readFile(file string) ([]byte, error) {
	return store.ReadFile(d.store, d.path(file), maxManifest)
}

// readManifest reads what the image holds, its own description or Clonezilla's files.
func (d *directory) readManifest() (err error) {
	if d.foreign {
		d.manifest, err = d.foreignManifest()
	} else {
		d.manifest, err = d.ownManifest()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", d.name, err)
	}
	d.manifest.Name = d.name // it may have been renamed
	return nil
}

// ownManifest reads doppel.json. In a finished image its sum must be right,
// since nothing else tells where on a disk a volume belongs.
func (d *directory) ownManifest() (*image.Manifest, error) {
	if d.has(fileCommit) {
		data, err := d.readFile(fileSums)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: %s is missing", image.ErrDamaged, fileSums)
		} else if err != nil {
			return nil, err
		}
		if d.sums, err = parseSums(data, 32); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", image.ErrDamaged, fileSums, err)
		}
	}
	data, err := d.readChecked(fileManifest, maxManifest)
	if err != nil {
		return nil, err
	}
	return parseManifest(data)
}

// readChecked reads a file and checks its sum where there is a list of sums.
func (d *directory) readChecked(file string, limit int64) ([]byte, error) {
	data, err := store.ReadFile(d.store, d.path(file), limit)
	if err != nil || d.sums == nil {
		return data, err
	}
	if sum := blake3.Sum256(data); !bytes.Equal(d.sums[file], sum[:]) {
		return nil, fmt.Errorf("%w: %s has another sum than when it was saved", image.ErrDamaged, file)
	}
	return data, nil
}

// Manifest implements image.Image.
func (d *directory) Manifest() *image.Manifest { return d.manifest }

// Area implements image.Image.
func (d *directory) Area(disk int, area image.Area) ([]byte, error) {
	if data, ok := d.made[area]; ok {
		return data, nil
	}
	if area.File == "" {
		return nil, fmt.Errorf("%s: area %s at byte %d is not in the image", d.name, area.Name, area.Offset)
	}
	data, err := d.readChecked(area.File, area.Length)
	if err != nil {
		return nil, err
	}
	if int64(len(data)) != area.Length {
		return nil, fmt.Errorf("%w: %s has %d bytes, not %d", image.ErrDamaged, area.File, len(data), area.Length)
	}
	return data, nil
}

// Open implements image.Image.
func (d *directory) Open(index int) (image.Saved, error) {
	v := findVolume(d.manifest, index)
	if v == nil {
		return nil, fmt.Errorf("%s: no volume %d", d.name, index)
	}
	return d.open(*v)
}

func (d *directory) open(v image.Volume) (image.Saved, error) {
	switch {
	case v.Method != image.Blocks && v.Method != image.Raw:
		return empty{v}, nil
	case v.File == "":
		return nil, fmt.Errorf("%w: no file holds it", image.ErrDamaged)
	case d.has(framesName(v.File)):
		return openFramed(d, v)
	case !d.foreign:
		return nil, fmt.Errorf("%w: %s is missing", image.ErrDamaged, framesName(v.File))
	}
	return openForward(d, v)
}

// Close implements image.Image.
func (d *directory) Close() error { return nil }
