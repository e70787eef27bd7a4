package clonezilla

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"

	"doppel.live/internal/image"
	"doppel.live/internal/store"
)

// maxManifest is the most bytes of doppel.json, and of the text files.
const maxManifest = 16 << 20

// parseManifest decodes a doppel.json and checks that nothing in it can lead
// out of the image, out of the disk or onto a terminal.
func parseManifest(data []byte) (*image.Manifest, error) {
	m := new(image.Manifest)
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(m); err != nil {
		return nil, fmt.Errorf("%w: doppel.json: %w", image.ErrDamaged, err)
	}
	if m.Format != 1 {
		return nil, fmt.Errorf("%w: doppel.json of format %d", ErrNotYet, m.Format)
	}
	m.ID, m.Name, m.Tool, m.Consistency = clean(m.ID), clean(m.Name), clean(m.Tool), clean(m.Consistency)
	m.Nested = nil // our own images have none
	index, bases := 0, make(map[string]bool)
	for i := range m.Disks {
		d := &m.Disks[i]
		if err := checkDisk(d, &index); err != nil {
			return nil, fmt.Errorf("doppel.json: disk %d: %w", i, err)
		}
		if bases[baseName(diskAlias(*d))] {
			return nil, fmt.Errorf("doppel.json: two disks named %s", d.Name)
		}
		bases[baseName(diskAlias(*d))] = true
	}
	return m, nil
}

// checkDisk checks a disk; index is that of its first volume and becomes that
// of the next disk's.
func checkDisk(d *image.Disk, index *int) error {
	d.Alias, d.Name, d.Model, d.Serial, d.WWN, d.Scheme = clean(d.Alias), clean(d.Name), clean(d.Model), clean(d.Serial), clean(d.WWN), clean(d.Scheme)
	if d.Name == "" || d.Size < 0 || d.Size > math.MaxInt64/4 {
		return fmt.Errorf("%w: name or size", image.ErrDamaged)
	}
	if s := d.SectorSize; s < 512 || s > 64<<10 || s&(s-1) != 0 {
		return fmt.Errorf("%w: sectors of %d bytes", image.ErrDamaged, s)
	}
	for i := range d.Areas {
		a := &d.Areas[i]
		a.Name = clean(a.Name)
		if err := checkPlace(d.Size, a.Offset, a.Length, a.File); err != nil {
			return fmt.Errorf("area %s: %w", a.Name, err)
		}
	}
	if err := checkDamage(d.Damaged, d.Size); err != nil {
		return err
	}
	for i := range d.Volumes {
		v := &d.Volumes[i]
		if err := checkDamage(v.Damaged, v.Size); err != nil {
			return fmt.Errorf("volume %s: %w", clean(v.Name), err)
		}
		if v.Hit != nil {
			v.Hit.Reason = clean(v.Hit.Reason)
		}
		v.Name, v.FileSystem, v.Label, v.UUID = clean(v.Name), clean(v.FileSystem), clean(v.Label), clean(v.UUID)
		v.State, v.Reason, v.Alias = clean(v.State), clean(v.Reason), clean(v.Alias)
		if err := checkPlace(d.Size, v.Offset, v.Size, v.File); err != nil {
			return fmt.Errorf("volume %s: %w", v.Name, err)
		}
		if v.Index != *index || v.Name == "" || v.Used > v.Size || v.BlockSize < 0 || v.BlockSize > 64<<20 || v.SectorSize < 0 || v.SectorSize > 64<<20 {
			return fmt.Errorf("%w: volume %s: index, name, block size or bytes in use", image.ErrDamaged, v.Name)
		}
		switch v.Method {
		case image.Blocks, image.Raw, image.Swap, image.Absent:
		default:
			return fmt.Errorf("%w: volume %s saved by method %q", ErrNotYet, v.Name, clean(string(v.Method)))
		}
		*index++
	}
	return nil
}

// checkDamage tells whether what could not be read lies within size bytes.
func checkDamage(list []image.Damage, size int64) error {
	last := int64(0)
	for _, e := range list {
		if e.Offset < last || e.Length <= 0 || e.Length > size-e.Offset {
			return fmt.Errorf("%w: damage of bytes %d+%d", image.ErrDamaged, e.Offset, e.Length)
		}
		last = e.Offset + e.Length
	}
	return nil
}

// checkPlace tells whether a range lies on a disk of size bytes and file is
// the name of a file of the image.
func checkPlace(size, offset, length int64, file string) error {
	if offset < 0 || length < 0 || offset > size || length > size-offset {
		return fmt.Errorf("%w: bytes %d+%d are not on a disk of %d", image.ErrDamaged, offset, length, size)
	}
	if file == "" {
		return nil
	}
	if err := checkFolder(file); err != nil || store.CheckName(file) != nil {
		return fmt.Errorf("%w: file name %q", image.ErrDamaged, file)
	}
	return nil
}
