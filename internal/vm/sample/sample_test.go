package sample

import (
	"context"
	"os"
	"testing"
	"time"

	"doppel.live/internal/vm"
)

// The sample is worth nothing as a judge unless it boots by itself before it
// is ever saved.
func TestBoots(t *testing.T) {
	cache, mirror := os.Getenv("DOPPEL_CACHE"), os.Getenv("DOPPEL_MIRROR")
	if cache == "" || testing.Short() {
		t.Skip("needs DOPPEL_CACHE, a mirror and root: run ./build.sh test")
	}
	disk, err := Make(t.Context(), cache, mirror, func(s string) { t.Log(s) })
	if err != nil {
		t.Fatal(err)
	}
	for _, firmware := range []vm.Firmware{vm.BIOS, vm.UEFI} {
		t.Run(firmware.String(), func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
			defer cancel()
			m, err := vm.Start(ctx, vm.Config{Firmware: firmware, OVMF: os.Getenv("DOPPEL_OVMF"), Disks: []vm.Disk{{Path: disk, Snapshot: true, Boot: true}}})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if _, err := m.WaitLog(ctx, 0, Hostname+" login:"); err != nil {
				t.Fatal(err)
			}
		})
	}
}
