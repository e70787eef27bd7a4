package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"doppel.live/internal/vm"
	"doppel.live/internal/vm/sample"
)

// A Debian that doppel saved, as a regular file, is restored by Clonezilla to
// another disk, and that disk alone boots, under BIOS and UEFI.
func TestClonezillaRestoresSystem(t *testing.T) {
	if os.Getenv("DOPPEL_SOAK") == "" {
		t.Skip("takes long: run ./build.sh soak")
	}
	cache, mirror := os.Getenv("DOPPEL_CACHE"), os.Getenv("DOPPEL_MIRROR")
	if cache == "" {
		t.Skip("needs a cache for the sample system: run ./build.sh soak")
	}
	l := &lab{t: t, dir: t.TempDir()}
	system, err := sample.Make(t.Context(), cache, mirror, func(s string) { t.Log(s) })
	if err != nil {
		t.Skip(err)
	}
	if err := os.Mkdir(l.path("images"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(system, l.path("source.img")); err != nil { // only read
		t.Fatal(err)
	}
	l.random("target.img", sample.Size, 0, 0)
	l.tool(l.tool("", "sfdisk", "--dump", system), "sfdisk", "--quiet", l.path("target.img"))
	l.random("target.img", sample.Size, 1<<20, 70<<20) // over the boot loader, the ESP and the root's beginning
	c := newCell(l)
	l.expect(done, "is saved", "save", system, "system")
	c.clonezilla("-iui", "-ius", "-irhr", "-irvd", "-iefi", "restoredisk", "system", c.target)
	l.tool("", "blockdev", "--flushbufs", "/dev/"+c.target)
	dump := func(disk string) string {
		return strings.ReplaceAll(l.tool("", "sfdisk", "--dump", disk), disk, "DISK")
	}
	if got, want := dump(l.path("target.img")), dump(system); got != want {
		t.Errorf("table\n%s\nwant\n%s", got, want)
	}
	if out := l.tool("", "blkid", "-p", "-o", "value", "-s", "UUID", "-O", "69206016", l.path("target.img")); strings.TrimSpace(out) != sample.RootUUID {
		t.Errorf("the root is %s", out)
	}
	for _, firmware := range []vm.Firmware{vm.BIOS, vm.UEFI} {
		t.Run(firmware.String(), func(t *testing.T) { bootsRestored(t, l.path("target.img"), firmware) })
	}
}

// bootsRestored boots a disk alone, up to its login prompt.
func bootsRestored(t *testing.T, disk string, firmware vm.Firmware) {
	ovmf := os.Getenv("DOPPEL_OVMF")
	if _, err := os.Stat(filepath.Join(ovmf, "OVMF_CODE_4M.fd")); err != nil {
		t.Skip("needs QEMU and UEFI firmware: run ./build.sh soak")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	m, err := vm.Start(ctx, vm.Config{Firmware: firmware, OVMF: ovmf, Disks: []vm.Disk{{Path: disk, Snapshot: true, Boot: true}}})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := m.WaitLog(ctx, 0, sample.Hostname+" login:"); err != nil {
		t.Fatalf("%v\n%s", err, m.Log())
	}
}
