package clonezilla

import (
	"bytes"
	"errors"
	"testing"

	"doppel.live/internal/store"
	"doppel.live/internal/store/storetest"
)

// Where less comes of a file than there is, nothing is restored as if that were
// all, and no check is content: in any file, at any place, the ends of lines
// and records among them.
func TestShortReads(t *testing.T) {
	volumes := []testVolume{blocksVolume("sda1", 40, 9, 4096), rawVolume("sda2", 9000)}
	for _, o := range []Options{{}, {Level: None}, {Level: Gzip, Split: 10_000}} {
		m := new(store.Memory)
		mustSave(t, m, "lab", o, volumes...)
		for file, data := range imageFiles(t, m, "lab") {
			cuts := []int64{0, 1, int64(len(data) / 2), int64(len(data) - 1)}
			for at := 0; len(cuts) < 40; { // behind each line
				next := bytes.IndexByte(data[at:], '\n')
				if next < 0 || at+next+1 >= len(data) {
					break
				}
				at += next + 1
				cuts = append(cuts, int64(at))
			}
			for _, at := range cuts {
				if at < 0 || at >= int64(len(data)) {
					continue
				}
				s := storetest.Short{Store: m, Name: "lab/" + file, At: at}
				if err := restores(s, volumes); err != nil {
					t.Errorf("%v: %s ended at byte %d of %d: %v", o, file, at, len(data), err)
				}
				if err := found(s, ""); err != nil {
					t.Errorf("%v: %s ended at byte %d of %d: %v", o, file, at, len(data), err)
				}
			}
		}
	}
}

// restores reads all that a restore reads of the image. What is read without an
// error must be right; errors are well.
func restores(s store.Store, volumes []testVolume) error {
	im, err := Open(s, "lab")
	if err != nil {
		return nil
	}
	defer im.Close()
	for _, a := range im.Manifest().Disks[0].Areas {
		want := make([]byte, a.Length)
		noise(want, uint64(a.Offset))
		if data, err := im.Area(0, a); err == nil && !bytes.Equal(data, want) {
			return errors.New("another area " + a.Name)
		}
	}
	if len(im.Manifest().Disks[0].Volumes) != len(volumes) {
		return errors.New("volumes are missing")
	}
	for _, v := range volumes {
		saved, err := im.Open(v.Index)
		if err != nil {
			continue
		}
		data, err := restoreVolume(saved)
		saved.Close()
		if err == nil && !bytes.Equal(data, v.data) {
			return errors.New("another volume " + v.Name)
		}
	}
	return nil
}
