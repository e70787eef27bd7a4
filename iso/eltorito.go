package iso

import (
	"errors"
	"fmt"
	"io"
)

// Sizes of boot files, in bytes.
const (
	maxImage  = 16 << 20  // it is patched in memory
	maxESP    = 1<<16 - 1 // sectors of 512 bytes: the count in the catalogue has 16 bits
	mbrCode   = 432
	grubStart = 2548 // in eltorito.img: where GRUB wants to read its own place
	minImage  = grubStart + 8
)

func (b *Boot) check() error {
	switch {
	case b.Image == "":
		return errors.New("iso: boot: no path of the BIOS boot image")
	case len(b.MBR) < mbrCode:
		return fmt.Errorf("iso: boot: MBR code of %d bytes, want at least %d", len(b.MBR), mbrCode)
	case b.ESP == nil || b.ESPSize <= 0 || b.ESPSize%sectorSize != 0:
		return fmt.Errorf("iso: boot: EFI system partition of %d bytes, want a multiple of %d", b.ESPSize, sectorSize)
	case b.ESPSize/512 > maxESP:
		return fmt.Errorf("iso: boot: EFI system partition of %d bytes, want less than 32 MiB", b.ESPSize)
	}
	return nil
}

// image returns the node of the BIOS boot image.
func (b *Builder) image() (*node, error) {
	name := b.options.Boot.Image
	n := b.find(name)
	if n == nil || !n.Mode.IsRegular() {
		return nil, fmt.Errorf("iso: boot: %q is not a file on the disc", name)
	}
	if n.Size < minImage || n.Size > maxImage {
		return nil, fmt.Errorf("iso: boot: %q has %d bytes, want %d to %d", name, n.Size, minImage, maxImage)
	}
	return n, nil
}

// catalogue encodes the boot catalogue, El Torito 2.0: a BIOS image that is
// started without emulation, its first four sectors of 512 bytes loaded,
// and a section with the EFI system partition.
func catalogue(image, esp lba, espSize int64) []byte {
	b := make([]byte, sectorSize)
	// Validation entry, 2.1: header 1, platform 0 (80x86), checksum, key.
	b[0], b[0x1E], b[0x1F] = 1, 0x55, 0xAA
	var sum uint16
	for i := 0; i < 0x20; i += 2 {
		sum += le.Uint16(b[i:])
	}
	le.PutUint16(b[0x1C:], -sum)
	entry(b[0x20:], image, 4)         // default entry, 2.2
	b[0x40], b[0x41] = 0x91, 0xEF     // last section header, 2.3: platform EFI
	le.PutUint16(b[0x42:], 1)         // entries in it
	entry(b[0x60:], esp, espSize/512) // section entry, 2.4
	return b
}

// entry encodes a bootable entry without emulation. count is the number
// of 512-byte sectors to load.
func entry(b []byte, start lba, count int64) {
	b[0] = 0x88
	le.PutUint16(b[6:], uint16(count))
	le.PutUint32(b[8:], uint32(start))
}

// patched opens GRUB's eltorito.img as it must be when it lies at start.
func patched(open Opener, size int64, start lba) Opener {
	return func() (io.ReadCloser, error) {
		r, err := open()
		if err != nil {
			return nil, err
		}
		defer r.Close()
		// One byte more shows whether it is longer than announced.
		image, err := io.ReadAll(io.LimitReader(r, size+1))
		if err != nil {
			return nil, err
		}
		if int64(len(image)) == size { // else the caller finds out
			patch(image, start)
		}
		return Bytes(image)()
	}
}

// patch writes GRUB's own place, then the boot info table that mkisofs introduced.
func patch(image []byte, start lba) {
	le.PutUint64(image[grubStart:], uint64(start)*4+5)
	var sum uint32
	for i := 64; i < len(image); i += 4 {
		var word [4]byte
		copy(word[:], image[i:])
		sum += le.Uint32(word[:])
	}
	le.PutUint32(image[8:], firstDescriptor)
	le.PutUint32(image[12:], uint32(start))
	le.PutUint32(image[16:], uint32(len(image)))
	le.PutUint32(image[20:], sum)
	clear(image[24:64])
}
