package iso

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// ErrFormat tells that there is no ISO 9660 volume.
var ErrFormat = errors.New("iso: no ISO 9660 volume")

// VolumeSetID reads the volume set identifier of a disc: 128 bytes at byte
// 190 of the primary volume descriptor (ECMA-119 8.4.19), which is the first
// and begins at byte 32768. Doppel's discs have "DOPPEL-" and their build
// identifier there.
func VolumeSetID(r io.ReaderAt) (string, error) {
	b := make([]byte, volumeSetOffset+volumeSetLength)
	switch _, err := io.ReadFull(io.NewSectionReader(r, systemArea, sectorSize), b); err {
	case nil:
	case io.EOF, io.ErrUnexpectedEOF:
		return "", ErrFormat
	default:
		return "", fmt.Errorf("iso: volume descriptor: %w", err)
	}
	if b[0] != typePrimary || string(b[1:6]) != standardID || b[6] != 1 {
		return "", ErrFormat
	}
	return strings.TrimRight(string(b[volumeSetOffset:]), " \x00"), nil
}
