// Package stick holds what makes a Doppel stick: the hybrid image with a
// partition for images behind it. It looks at a disk and says what may be done
// (Survey), gives a stick that was written from the stick image its partition
// (Grow), and writes whole sticks (Write). FORMAT.md says what lies where.
//
// What is doubtful is left alone: a file system is made only where nothing is,
// or where somebody asked for a fresh one. It opens no devices, asks nobody for
// consent, mounts nothing, and knows sectors of 512 bytes only. GPT is that of
// the UEFI specification 2.10, chapter 5.
package stick

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
)

const (
	// Place is where the images partition begins, bytes from the start of the
	// disk: far behind the largest image there may be.
	Place = 256 << 20
	// Label is the name of the images partition and of its file system.
	Label = "IMAGES"

	sector = 512
	mib    = 1 << 20

	// systemArea is what lies before the ISO 9660 volume.
	systemArea = 32 << 10
	// least is what an images partition must have: less is not worth having.
	least = 32 << 20
)

// MarkerOffset is the byte of the disk where the marker lies.
const MarkerOffset = 48 * sector

// state is how far a stick has come.
type state uint32

const (
	plain   state = 99 // no marker: the image is the plain one
	written state = 0  // as the image was written
	making  state = 1  // the images partition is being made
	grown   state = 2
)

const markerMagic = "DOPPEL STICK\x00\x00\x00\x01"

var le = binary.LittleEndian

// marker is the sector that tells the stick image from the plain one.
type marker struct {
	state         state
	start, length int64 // bytes; of what is being made
}

// Marker is the marker of a stick image, as it is distributed.
func Marker() []byte { return marker{}.encode() }

func (m marker) encode() []byte {
	b := make([]byte, sector)
	copy(b, markerMagic)
	le.PutUint32(b[16:], uint32(m.state))
	le.PutUint64(b[24:], uint64(m.start))
	le.PutUint64(b[32:], uint64(m.length))
	le.PutUint32(b[508:], crc32.ChecksumIEEE(b[:508]))
	return b
}

// readMarker gives a marker with the state plain where there is none.
func readMarker(r io.ReaderAt) (marker, error) {
	b, err := read(r, MarkerOffset, sector)
	if err != nil {
		return marker{}, err
	}
	if string(b[:16]) != markerMagic || crc32.ChecksumIEEE(b[:508]) != le.Uint32(b[508:]) {
		return marker{state: plain}, nil
	}
	m := marker{state(le.Uint32(b[16:])), int64(le.Uint64(b[24:])), int64(le.Uint64(b[32:]))}
	if m.state > grown {
		return marker{state: plain}, nil // of a version that does not exist yet
	}
	return m, nil
}

// Marked says whether a disk was written from the stick image: the check for
// blockdev.OpenOwnMedium.
func Marked(r io.ReaderAt) error {
	m, err := readMarker(r)
	if err == nil && m.state == plain {
		err = errors.New("it was not written from the stick image")
	}
	return err
}

// volumeSet is how the volume set identifier of Doppel's discs begins; the
// build follows.
const volumeSet = "DOPPEL-"

// medium reads the ISO 9660 descriptor of a Doppel medium (ECMA-119 8.4): the
// build, "" where it is none, and the size of the image in bytes.
//
//	0    1  1                  80   4  blocks of 2048 bytes in the volume
//	1    5  "CD001"            190  128  volume set identifier
func medium(r io.ReaderAt) (build string, size int64, err error) {
	b, err := read(r, systemArea, 2048)
	if err != nil {
		return "", 0, err
	}
	set := strings.TrimRight(string(b[190:318]), " \x00")
	build, ok := strings.CutPrefix(set, volumeSet)
	if b[0] != 1 || string(b[1:6]) != "CD001" || !ok {
		return "", 0, nil
	}
	return build, int64(le.Uint32(b[80:])) * 2048, nil
}

// read reads n bytes at off, all of them.
func read(r io.ReaderAt, off, n int64) ([]byte, error) {
	b := make([]byte, n)
	if m, err := r.ReadAt(b, off); m < len(b) {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("at byte %d: %w", off, err)
	}
	return b, nil
}

// usable says whether images can lie on a file system, and whether the live
// system mounts it for writing, by the name that package probe gives it.
func usable(fs string) bool {
	switch fs {
	case "exfat", "ext2", "ext3", "ext4", "ntfs", "vfat", "xfs", "btrfs":
		return true
	}
	return false
}
