package power

import (
	"slices"
	"testing"
)

func TestMounted(t *testing.T) {
	const text = `1 1 0:2 / / rw - rootfs none rw
20 1 0:19 / /proc rw - proc proc rw
30 1 8:17 / /images rw,noatime - ext4 /dev/sdb1 rw
31 30 0:33 / /images/my\040share rw master:1 shared:2 - nfs 10.0.0.1:/x rw
32 1 0:34 / /run rw - tmpfs tmpfs rw
broken line
`
	want := []string{"/images/my share", "/images"}
	if got := Mounted(text); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSignals(t *testing.T) {
	for _, a := range []Action{Off, Restart, Halt} {
		if got, ok := Requested(a.Signal()); !ok || got != a {
			t.Errorf("%v is asked for by a signal that means %v", a, got)
		}
	}
}
