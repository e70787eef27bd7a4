package probe

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"doppel.live/internal/filesystem"
)

const handmadeSize = 4 << 20

// handmade are volumes of formats whose tools want a device, written field by
// field; blkid is the judge of these too.
var handmade = map[string]func(p []byte){
	"md 1.0":            func(p []byte) { md1(p, (handmadeSize/512-16)&^7*512) },
	"md 1.1":            func(p []byte) { md1(p, 0) },
	"md 1.2":            func(p []byte) { md1(p, 4096) },
	"md 0.90":           func(p []byte) { md0(p, le) },
	"md 0.90, big end":  func(p []byte) { md0(p, be) },
	"md 1.0 over ext4":  func(p []byte) { extLike(p); md1(p, (handmadeSize/512-16)&^7*512) },
	"lvm":               lvmLabel,
	"luks 1":            func(p []byte) { luksHeader(p, 1) },
	"luks 2":            func(p []byte) { luksHeader(p, 2) },
	"bitlocker":         func(p []byte) { copy(p, "\xEB\x58\x90-FVE-FS-"); copy(p[510:], "\x55\xAA") },
	"bcache":            bcacheSuper,
	"zfs":               zfsRings,
	"swap, hibernated":  hibernated,
	"squashfs":          func(p []byte) { copy(p, "hsqs"); le.PutUint16(p[28:], 4) },
	"apfs":              apfsSuper,
	"udf":               udfDescriptors,
	"isw":               func(p []byte) { copy(p[len(p)-1024:], "Intel Raid ISM Cfg Sig. 1.0.00") },
	"jump without data": func(p []byte) { copy(p, "\xEB\x58\x90"); copy(p[510:], "\x55\xAA") },
}

func fill(p []byte, first byte) {
	for i := range p {
		p[i] = first + byte(i)
	}
}

func md1(p []byte, at int) {
	sb := p[at:]
	le.PutUint32(sb, 0xA92B4EFC)
	le.PutUint32(sb[4:], 1)
	fill(sb[16:32], 0x10)
	copy(sb[32:], "host:0")
	le.PutUint64(sb[144:], uint64(at/512))
	le.PutUint32(sb[220:], 4) // max_dev
	var sum uint64            // of all words, with this field 0, folded
	for i := 0; i < 256+2*4; i += 4 {
		sum += uint64(le.Uint32(sb[i:]))
	}
	le.PutUint32(sb[216:], uint32(sum&0xFFFFFFFF)+uint32(sum>>32))
}

func md0(p []byte, order binary.ByteOrder) {
	sb := p[len(p)&^0xFFFF-0x10000:]
	order.PutUint32(sb, 0xA92B4EFC)
	order.PutUint32(sb[8:], 90)
	order.PutUint32(sb[20:], 0x01020304)
	for i := range 3 {
		order.PutUint32(sb[52+4*i:], 0x11121314+uint32(i))
	}
	order.PutUint32(sb[28:], 1)
}

func lvmLabel(p []byte) {
	label := p[512:1024]
	copy(label, "LABELONE")
	le.PutUint64(label[8:], 1)
	le.PutUint32(label[20:], 32)
	copy(label[24:], "LVM2 001")
	copy(label[32:], "abcdefghijklmnopqrstuvwxyzABCDEF")
	// The CRC of LVM starts with a number of its own and is not inverted.
	le.PutUint32(label[16:], ^crc32.Update(^uint32(0xf597a6cf), crc32.IEEETable, label[20:]))
}

func luksHeader(p []byte, version uint16) {
	copy(p, "LUKS\xBA\xBE")
	be.PutUint16(p[6:], version)
	copy(p[168:], "0f3f0c1e-1c7a-4a4f-9d5b-0a1b2c3d4e5f")
	if version == 2 {
		be.PutUint64(p[8:], 0x4000)
		copy(p[24:], "hidden")
		copy(p[0x4000:], p[:512])
		copy(p[0x4000:], "SKUL")
		be.PutUint64(p[0x4000+256:], 0x4000)
	}
}

func bcacheSuper(p []byte) {
	sb := p[4096:]
	le.PutUint64(sb[8:], 8)
	copy(sb[24:], "\xC6\x85\x73\xF6\x4E\x1A\x45\xCA\x82\x65\xF5\x7F\x48\xBA\x6D\x81")
	fill(sb[40:56], 0x20)
	le.PutUint64(sb, crc64BE(sb[8:208]))
}

// crc64BE is the checksum of bcache: polynomial of ECMA-182, not reflected,
// inverted at both ends.
func crc64BE(p []byte) uint64 {
	crc := ^uint64(0)
	for _, b := range p {
		crc ^= uint64(b) << 56
		for range 8 {
			top := crc >> 63
			crc <<= 1
			if top != 0 {
				crc ^= 0x42F0E1EBA9EA3693
			}
		}
	}
	return ^crc
}

func zfsRings(p []byte) {
	for _, label := range []int{0, 256 << 10, len(p) - 512<<10, len(p) - 256<<10} {
		for i := range 4 {
			le.PutUint64(p[label+128<<10+i*1024:], 0x00BAB10C)
			le.PutUint64(p[label+128<<10+i*1024+8:], 5000) // version
		}
		nv := []byte("\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01") // header of the packed list
		nv = append(nv, pair("name", 9, "\x00\x00\x00\x04tank")...)
		nv = append(nv, pair("pool_guid", 8, "\x01\x02\x03\x04\x05\x06\x07\x08")...)
		copy(p[label+16<<10:], nv)
	}
}

// pair is a name-value pair in XDR.
func pair(name string, kind uint32, value string) []byte {
	b := be.AppendUint32(nil, uint32(len(name)))
	b = append(b, name...)
	b = append(b, make([]byte, (4-len(name)%4)%4)...)
	b = be.AppendUint32(b, kind)
	b = be.AppendUint32(b, 1)
	b = append(b, value...)
	size := uint32(8 + len(b))
	return append(be.AppendUint32(be.AppendUint32(nil, size), size), b...)
}

func hibernated(p []byte) {
	le.PutUint32(p[1024:], 1)
	fill(p[1036:1052], 0x30)
	copy(p[1052:], "slept")
	copy(p[4096-10:], "S1SUSPEND")
}

func apfsSuper(p []byte) {
	le.PutUint64(p[8:], 1)           // o_oid
	le.PutUint32(p[24:], 0x80000001) // o_type
	copy(p[32:], "NXSB")
	le.PutUint32(p[36:], 4096)
	le.PutUint64(p[40:], handmadeSize/4096)
	fill(p[72:88], 0x40)
	a, b := uint64(0), uint64(0) // Fletcher-64 of the block behind the checksum
	for i := 8; i < 4096; i += 4 {
		a = (a + uint64(le.Uint32(p[i:]))) % 0xFFFFFFFF
		b = (b + a) % 0xFFFFFFFF
	}
	c1 := 0xFFFFFFFF - (a+b)%0xFFFFFFFF
	c2 := 0xFFFFFFFF - (a+c1)%0xFFFFFFFF
	le.PutUint64(p, c2<<32|c1)
}

func udfDescriptors(p []byte) {
	for i, id := range []string{"BEA01", "NSR02", "TEA01"} {
		copy(p[32<<10+i*2048+1:], id)
		p[32<<10+i*2048+6] = 1
	}
}

// extLike is the superblock of a small ext2.
func extLike(p []byte) {
	sb := p[1024:]
	le.PutUint32(sb[0x04:], 4096)
	le.PutUint16(sb[0x38:], 0xEF53)
	le.PutUint32(sb[0x28:], 128)
	fill(sb[0x68:0x78], 0x50)
	le.PutUint32(sb[0x4C:], 1)
}

func TestHandmade(t *testing.T) {
	// blkid wants more of these than their magic: a checksum, or a second
	// structure that this test does not write.
	more := map[string]string{"bitlocker": "BitLocker", "udf": "udf", "zfs": "zfs_member"}
	for name, write := range handmade {
		t.Run(name, func(t *testing.T) {
			size := handmadeSize
			if name == "zfs" {
				size = 64 << 20 // blkid wants that much
			}
			p := make([]byte, size)
			write(p)
			path := filepath.Join(t.TempDir(), "volume")
			if err := os.WriteFile(path, p, 0o600); err != nil {
				t.Fatal(err)
			}
			if want := more[name]; want == "" {
				sameAsBlkid(t, path)
			} else if got := probeFile(t, path).Info.Type; got != want {
				t.Errorf("type %q, want %q", got, want)
			}
			if name != "md 1.0 over ext4" { // what shows through is too little to be seen again
				wiped(t, path)
			}
		})
	}
}

func TestHibernatedIsSaid(t *testing.T) {
	p := make([]byte, handmadeSize)
	hibernated(p)
	res, err := Probe(bytes.NewReader(p), int64(len(p)))
	if err != nil || res.Info.State != filesystem.Hibernated || res.Info.Type == "swap" {
		t.Errorf("%+v, %v", res, err)
	}
}

// TestAmbiguous lays one format over another without wiping.
func TestAmbiguous(t *testing.T) {
	tests := []struct {
		name  string
		write []func(p []byte)
		want  []string
	}{
		{"ext under a FAT", []func([]byte){extLike, fat16Sector}, []string{"ext2", "vfat"}},
		{"ext under apfs", []func([]byte){extLike, apfsSuper}, []string{"ext2", "apfs"}},
		{"lvm under luks", []func([]byte){lvmLabel, func(p []byte) { luksHeader(p, 1) }}, []string{"crypto_LUKS", "LVM2_member"}},
		{"swap under squashfs", []func([]byte){func(p []byte) { copy(p[4086:], "SWAPSPACE2") }, handmade["squashfs"]}, []string{"swap", "squashfs"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := make([]byte, handmadeSize)
			for _, w := range tt.write {
				w(p)
			}
			res, err := Probe(bytes.NewReader(p), int64(len(p)))
			if err != nil || res.FileSystem != nil || res.Info.Type != "" || !slices.Equal(res.Ambiguous, tt.want) {
				t.Errorf("%+v, %v, want %v", res, err, tt.want)
			}
			if !strings.Contains(res.Reason, tt.want[0]) {
				t.Errorf("reason %q", res.Reason)
			}
		})
	}
}

// fat16Sector is the boot sector of a small FAT16.
func fat16Sector(p []byte) {
	copy(p, "\xEB\x3C\x90mkfs.fat")
	le.PutUint16(p[11:], 512)
	p[13], p[16], p[21] = 1, 2, 0xF8
	le.PutUint16(p[14:], 4)
	le.PutUint16(p[17:], 512)
	le.PutUint16(p[19:], handmadeSize/512)
	le.PutUint16(p[22:], 32)
	copy(p[54:], "FAT16   ")
	copy(p[510:], "\x55\xAA")
}

type failing struct{ at int64 }

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > f.at {
		return 0, fmt.Errorf("bad sector %d", f.at/512)
	}
	clear(p)
	return len(p), nil
}

func TestReadError(t *testing.T) {
	for _, at := range []int64{0, 500_000} {
		if _, err := Probe(failing{at}, handmadeSize); err == nil || !strings.Contains(err.Error(), "bad sector") {
			t.Errorf("reading fails at %d: error %v", at, err)
		}
		if _, err := Signatures(failing{at}, handmadeSize); err == nil {
			t.Errorf("reading fails at %d: no error", at)
		}
	}
}

func FuzzProbe(f *testing.F) {
	for _, write := range handmade {
		p := make([]byte, handmadeSize)
		write(p)
		f.Add(p[:80<<10], uint32(80<<10))
	}
	p := make([]byte, 64<<10)
	fat16Sector(p)
	f.Add(p, uint32(len(p)))
	f.Fuzz(func(t *testing.T, p []byte, size uint32) {
		// The volume may be larger than its bytes: zeros follow.
		r := padded{p}
		res, err := Probe(r, int64(size))
		if err != nil {
			t.Fatal(err)
		}
		if (res.Reason == "") == (res.FileSystem == nil) {
			t.Fatalf("%+v", res)
		}
		list, err := Signatures(r, int64(size))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range list {
			if s.Offset < 0 || s.Length <= 0 || s.Offset+s.Length > int64(size) {
				t.Fatalf("signature %+v outside of %d bytes", s, size)
			}
		}
	})
}

// padded reads zeros behind its bytes.
type padded struct{ data []byte }

func (r padded) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if off < int64(len(r.data)) {
		copy(p, r.data[off:])
	}
	return len(p), nil
}
