package initramfs

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"doppel.live/internal/live/modules"
	"github.com/klauspost/compress/zstd"
)

func TestFirmware(t *testing.T) {
	root := t.TempDir()
	text := strings.Repeat("microcode ", 100)
	for _, name := range []string{"rtl_nic/rtl8168.fw", "ice/ddp/ice-1.3.pkg", "isci/isci_firmware.bin", "unused.bin"} {
		put(t, root, "usr/lib/firmware/"+name, text+name)
	}
	for from, to := range map[string]string{"ice/ddp/ice.pkg": "ice-1.3.pkg", "realtek": "rtl_nic"} {
		if err := os.Symlink(to, root+"/usr/lib/firmware/"+from); err != nil {
			t.Fatal(err)
		}
	}
	tree := &modules.Tree{Modules: []*modules.Module{
		{Info: modules.Info{Firmware: []string{"realtek/rtl8168.fw", "gone.bin"}}},
		{Info: modules.Info{Firmware: []string{"ice/ddp/*.pkg", "isci/isci_firmware.bin"}}},
	}}
	tests := []struct {
		free    bool
		want    string // files and links below usr/lib/firmware
		missing []string
	}{
		{false, "ice/ddp/ice-1.3.pkg.zst ice/ddp/ice.pkg.zst>ice-1.3.pkg.zst isci/isci_firmware.bin.zst realtek>rtl_nic rtl_nic/rtl8168.fw.zst",
			[]string{"gone.bin"}},
		{true, "isci/isci_firmware.bin.zst", []string{"gone.bin", "ice/ddp/*.pkg", "realtek/rtl8168.fw"}},
	}
	for _, test := range tests {
		a := make(archive)
		missing, err := addFirmware(a, tree, Options{Sysroot: root, Free: test.free}, cache(t.TempDir()))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range a.sorted() {
			p := strings.TrimPrefix(e.path, "usr/lib/firmware/")
			switch {
			case e.target != "":
				got = append(got, p+">"+e.target)
			case e.host != "":
				got = append(got, p)
				content(t, e, text)
			}
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("free %v: got  %v\nwant %s", test.free, got, test.want)
		}
		if !slices.Equal(missing, test.missing) {
			t.Errorf("free %v: missing %v", test.free, missing)
		}
	}
}

// content unpacks a file of the archive, whose frame must say its size.
func content(t *testing.T, e *entry, prefix string) {
	t.Helper()
	data, err := os.ReadFile(e.host)
	if err != nil {
		t.Fatal(err)
	}
	var header zstd.Header
	if err := header.Decode(data); err != nil || !header.HasFCS {
		t.Errorf("%s: the frame does not say its size: %v", e.path, err)
	}
	z, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	plain, err := z.DecodeAll(data, nil)
	if err != nil || !bytes.HasPrefix(plain, []byte(prefix)) {
		t.Errorf("%s: %.20q, %v", e.path, plain, err)
	}
}
