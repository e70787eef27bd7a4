package modules

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ulikunitz/xz"
)

// module returns an ELF file with nothing in it but a .modinfo section.
func module(info ...string) []byte {
	modinfo := strings.Join(info, "\x00") + "\x00"
	names := "\x00.modinfo\x00.shstrtab\x00"
	header := elf.Header64{
		Type: uint16(elf.ET_REL), Machine: uint16(elf.EM_X86_64), Version: 1,
		Ehsize: 64, Shentsize: 64, Shnum: 3, Shstrndx: 2,
		Shoff: uint64(64 + len(modinfo) + len(names)),
	}
	copy(header.Ident[:], "\x7fELF\x02\x01\x01")
	var b bytes.Buffer
	put := func(v any) { binary.Write(&b, binary.LittleEndian, v) }
	put(header)
	b.WriteString(modinfo + names)
	put(elf.Section64{})
	put(elf.Section64{Name: 1, Type: uint32(elf.SHT_PROGBITS), Off: 64, Size: uint64(len(modinfo))})
	put(elf.Section64{Name: 10, Type: uint32(elf.SHT_STRTAB), Off: uint64(64 + len(modinfo)), Size: uint64(len(names))})
	return b.Bytes()
}

// sample is a small tree: file below kernel/ and what it says.
var sample = map[string][]string{
	"fs/xfs/xfs.ko.xz":                 {"depends=libcrc32c", "alias=fs-xfs", "softdep=pre: crc32c", "license=GPL"},
	"lib/libcrc32c.ko.xz":              {"depends=", "softdep=pre: crypto-crc32c"},
	"crypto/crc32c_generic.ko":         {"alias=crypto-crc32c", "alias=crc32c", "alias=crc32c-generic"},
	"arch/x86/crypto/crc32c-intel.ko":  {"alias=crypto-crc32c", "alias=cpu:type:x86,ven*fam*mod*:feature:*0094*"},
	"drivers/net/e1000.ko.xz":          {"alias=pci:v00008086d0000100Esv*sd*bc*sc*i*"},
	"drivers/net/r8169.ko":             {"depends=mdio-devres", "alias=pci:v000010ECd00008168sv*sd*bc*sc*i*", "softdep=pre: realtek", "firmware=rtl_nic/rtl8168d-1.fw"},
	"drivers/net/phy/mdio_devres.ko":   {"depends=libphy"},
	"drivers/net/phy/libphy.ko":        {"alias=devname:none"},
	"drivers/net/phy/realtek.ko":       {"depends=libphy", "alias=mdio:0000000000000001110010000000????"},
	"drivers/block/loop.ko":            {"alias=block-major-7-*", "alias=char-major-10-237", "alias=devname:loop-control"},
	"drivers/input/misc/pcspkr.ko":     {"alias=platform:pcspkr"},
	"drivers/scsi/sd_mod.ko":           {"depends=scsi_mod", "alias=scsi:t-0x00*", "softdep=post: sg"},
	"drivers/scsi/scsi_mod.ko":         {},
	"drivers/scsi/sg.ko":               {"depends=scsi_mod", "softdep=pre: sd-mod"},
	"drivers/hid/hid-logitech.ko":      {"alias=hid:b0003g*v0000046Dp0000C2[0-9]?"},
	"drivers/platform/x86/dell-wmi.ko": {"alias=dmi*:svn*Dell Inc.*:"},
}

// sampleTree writes sample as lib/modules/VERSION and returns its directory.
func sampleTree(t testing.TB) string {
	dir := t.TempDir()
	for path, info := range sample {
		data := module(info...)
		if strings.HasSuffix(path, ".xz") {
			var b bytes.Buffer
			z, err := xz.NewWriter(&b)
			if err != nil {
				t.Fatal(err)
			}
			z.Write(data)
			z.Close()
			data = b.Bytes()
		}
		write(t, filepath.Join(dir, "kernel", path), string(data))
	}
	write(t, filepath.Join(dir, "modules.builtin"), "kernel/fs/fuse/fuse.ko\nkernel/drivers/virtio/virtio-pci.ko\n")
	write(t, filepath.Join(dir, "modules.builtin.modinfo"), "fuse.alias=fs-fuse\x00fuse.license=GPL\x00")
	write(t, filepath.Join(dir, "modules.order"), "kernel/crypto/crc32c_generic.ko\nkernel/arch/x86/crypto/crc32c-intel.ko\n")
	return dir
}

// indexed returns the directory of sampleTree with its index.
func indexed(t testing.TB) string {
	dir := sampleTree(t)
	tree, err := Scan(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range tree.Index() {
		write(t, filepath.Join(dir, f.Name), string(f.Data))
	}
	return dir
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func FuzzReadInfo(f *testing.F) {
	f.Add(module(sample["fs/xfs/xfs.ko.xz"]...))
	f.Add(module()[:100])
	f.Fuzz(func(t *testing.T, data []byte) {
		ReadInfo(bytes.NewReader(data))
	})
}
