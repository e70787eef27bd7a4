package iso

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math"

	"github.com/diskfs/go-diskfs/backend"
	"github.com/diskfs/go-diskfs/partition/gpt"
)

const (
	systemArea    = firstDescriptor * sectorSize // bytes
	mebibyte      = 1 << 20
	gptBackup     = 33 * 512 // bytes: 128 entries and the header
	isoPartition  = systemArea / 512
	readOnly      = 1<<60 | 1 // GPT attributes: read-only, required by the platform
	mbrTable      = 446
	mbrProtective = 0xEE
)

// mbr encodes the first 512 bytes of the disk: GRUB's code, the place of the boot
// image, and a table with a protective entry (UEFI 5.2.3). A second entry of no type is
// active, because some BIOSes start no disk without an active entry and some
// UEFI firmware wants the protective one inactive.
func mbr(code []byte, image lba, id uint32, size int64) []byte {
	b := make([]byte, 512)
	copy(b, code[:mbrCode])
	le.PutUint64(b[mbrCode:], uint64(image)*4+4)
	le.PutUint32(b[440:], id)
	protective := b[mbrTable:]
	copy(protective, []byte{0, 0, 2, 0, mbrProtective, 0xFF, 0xFF, 0xFF})
	le.PutUint32(protective[8:], 1)
	le.PutUint32(protective[12:], uint32(min(size/512-1, math.MaxUint32)))
	active := b[mbrTable+16:]
	copy(active, []byte{0x80, 0, 1, 0, 0, 0, 1, 0})
	le.PutUint32(active[12:], 1)
	b[510], b[511] = 0x55, 0xAA
	return b
}

// A write is a piece of a partition table.
type write struct {
	offset int64
	data   []byte
}

// A recorder keeps what go-diskfs writes. Of a file it has only WriteAt, the one method that
// writing a GPT uses.
type recorder struct {
	backend.WritableFile
	writes []write
}

func (r *recorder) WriteAt(p []byte, offset int64) (int, error) {
	r.writes = append(r.writes, write{offset, bytes.Clone(p)})
	return len(p), nil
}

// partitionTables encodes both copies of the GPT of a disk of size bytes, with
// the ISO 9660 tree and the EFI system partition.
func (o Options) partitionTables(esp, size int64) ([]write, error) {
	table := gpt.Table{
		GUID: o.uuid("disk"),
		Partitions: []*gpt.Partition{
			{
				Index: 1, Name: "ISO9660", Type: gpt.MicrosoftBasicData, GUID: o.uuid("iso9660"),
				Start: isoPartition, End: uint64(esp/512 - 1), Attributes: readOnly,
			},
			{
				Index: 2, Name: "ESP", Type: gpt.EFISystemPartition, GUID: o.uuid("esp"),
				Start: uint64(esp / 512), End: uint64((esp+o.Boot.ESPSize)/512 - 1),
			},
		},
	}
	var r recorder
	if err := table.Write(&r, size); err != nil {
		return nil, fmt.Errorf("iso: partition table: %w", err)
	}
	return r.writes, nil
}

// digest derives 16 bytes for one use from what identifies the volume.
func (o Options) digest(use string) []byte {
	volume := fmt.Sprintf("%s\x00%s\x00%d\x00%s", o.VolumeID, o.VolumeSetID, o.SequenceNumber, use)
	sum := sha256.Sum256([]byte(volume))
	return sum[:16]
}

// uuid derives a UUID of version 8, RFC 9562 5.8.
func (o Options) uuid(use string) string {
	d := o.digest(use)
	d[6] = d[6]&0x0F | 0x80
	d[8] = d[8]&0x3F | 0x80
	return fmt.Sprintf("%X-%X-%X-%X-%X", d[:4], d[4:6], d[6:8], d[8:10], d[10:])
}

// diskID derives the disk identifier of the MBR, which is not 0.
func (o Options) diskID() uint32 { return le.Uint32(o.digest("mbr")) | 1 }
