package modules

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// kernel stands for the kernel: it notes what is inserted, and refuses a
// module whose dependencies it has not got.
type kernel struct {
	t    *testing.T
	sys  string
	fail map[string]error

	mu     sync.Mutex
	loaded []string // name and parameters
	hook   func(name string)
}

func (k *kernel) insert(path, params string) error {
	n := name(path)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.fail[n]; err != nil {
		return err
	}
	write(k.t, filepath.Join(k.sys, "module", n, "initstate"), "live\n")
	k.loaded = append(k.loaded, strings.TrimSpace(n+" "+params))
	if k.hook != nil {
		k.hook(n)
	}
	return nil
}

func loader(t *testing.T, cmdline string) (*Loader, *kernel) {
	l, err := open(indexed(t), cmdline)
	if err != nil {
		t.Fatal(err)
	}
	k := &kernel{t: t, sys: t.TempDir(), fail: make(map[string]error)}
	l.insert, l.sys = k.insert, k.sys
	return l, k
}

func TestLoad(t *testing.T) {
	tests := []struct {
		name, cmdline string
		load          []string
		want          string // loaded, in order
	}{
		{"by name", "", []string{"e1000"}, "e1000"},
		{"dash for underscore", "", []string{"crc32c-generic"}, "crc32c_generic"},
		{"dependencies first", "", []string{"r8169"}, "libphy, realtek, mdio_devres, r8169"},
		{"soft dependency of a dependency", "", []string{"fs-xfs"}, "crc32c_generic, crc32c_intel, libcrc32c, xfs"},
		{"post, in a circle", "", []string{"scsi:t-0x00"}, "scsi_mod, sd_mod, sg"},
		{"parameters", "loop.max_part=8", []string{"loop", "max_loop=2"}, "loop max_part=8 max_loop=2"},
		{"quoted parameter", `quiet loop.note="a b" x`, []string{"loop"}, `loop note="a b"`},
		{"built in", "", []string{"fuse"}, ""},
		{"built in, by alias", "", []string{"fs-fuse"}, ""},
		{"barred", "", []string{"platform:pcspkr"}, ""},
		{"barred but named", "", []string{"pcspkr"}, "pcspkr"},
		{"barred on the command line", "modprobe.blacklist=foo,crc32c-intel", []string{"fs-xfs"}, "crc32c_generic, libcrc32c, xfs"},
		{"device", "", []string{"pci:v00008086d0000100Esv00001AF4sd00001100bc02sc00i00"}, "e1000"},
		{"alias with a space", "", []string{"dmi:bvn:svnDell Inc.:pn:"}, "dell_wmi"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l, k := loader(t, test.cmdline)
			if err := l.Load(test.load[0], test.load[1:]...); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(k.loaded, ", "); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			before := len(k.loaded)
			if err := l.Load(test.load[0]); err != nil || len(k.loaded) != before {
				t.Errorf("loaded again: %v, %v", k.loaded, err)
			}
		})
	}
}

func TestLoadErrors(t *testing.T) {
	l, k := loader(t, "")
	if err := l.Load("fs-nothing"); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown alias: %v", err)
	}
	broken := errors.New("broken")
	k.fail["crc32c_intel"] = broken
	if err := l.Load("crypto-crc32c"); err != nil {
		t.Errorf("one of two drivers is enough: %v", err)
	}
	k.fail["libcrc32c"], k.fail["xfs"] = broken, errors.New("unknown symbol")
	err := l.Load("xfs")
	if err == nil || !strings.Contains(err.Error(), "module libcrc32c: broken") || !strings.Contains(err.Error(), "module xfs: unknown symbol") {
		t.Errorf("xfs without libcrc32c: %v", err)
	}
}

func TestPlan(t *testing.T) {
	l, k := loader(t, "")
	files, err := l.Plan("xfs")
	if err != nil || len(k.loaded) > 0 {
		t.Fatal(err, k.loaded)
	}
	var names []string
	for _, f := range files {
		names = append(names, name(f))
	}
	if want := []string{"crc32c_generic", "crc32c_intel", "libcrc32c", "xfs"}; !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
}

// TestColdplug has a disk appear once its controller's driver is there.
func TestColdplug(t *testing.T) {
	l, k := loader(t, "")
	device := func(path, file, text string) {
		write(t, filepath.Join(k.sys, "devices", path, file), text)
	}
	device("pci0/0000:00:03.0", "modalias", "pci:v000010ECd00008168sv00001AF4sd00001100bc02sc00i00\n")
	device("pci0/0000:00:04.0", "modalias", "pci:v0000FFFFd0000FFFFsv00001AF4sd00001100bc02sc00i00\n")
	device("platform/pcspkr", "modalias", "platform:pcspkr\n")
	device("system/cpu", "modalias", "cpu:type:x86,ven0000fam0006mod003C:feature:,0000,0094,0095")
	k.hook = func(n string) {
		if n == "r8169" {
			device("pci0/0000:00:03.0/target0", "uevent", "DEVTYPE=scsi_device\nMODALIAS=scsi:t-0x00\n")
		}
	}
	n, err := l.Coldplug()
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(k.loaded)
	if got := strings.Join(k.loaded, " "); n != 2 || got != "libphy mdio_devres r8169 realtek scsi_mod sd_mod sg" {
		t.Errorf("%d asked for, loaded: %s", n, got)
	}
}

// TestColdplugGoesOn lets one module fail.
func TestColdplugGoesOn(t *testing.T) {
	l, k := loader(t, "")
	write(t, filepath.Join(k.sys, "devices/a/modalias"), "pci:v00008086d0000100Esv0sd0bc02sc00i00")
	write(t, filepath.Join(k.sys, "devices/b/modalias"), "block-major-7-0")
	k.fail["e1000"] = errors.New("no such device")
	_, err := l.Coldplug()
	if err == nil || !strings.Contains(err.Error(), "module e1000: no such device") {
		t.Errorf("error: %v", err)
	}
	if !slices.Equal(k.loaded, []string{"loop"}) {
		t.Errorf("loaded: %v", k.loaded)
	}
}

func FuzzIndex(f *testing.F) {
	f.Add("kernel/a.ko: kernel/b.ko\nkernel/b.ko:\n", "softdep a pre: b post: a\n", "alias x-* a\n", "x-y")
	f.Fuzz(func(t *testing.T, dep, soft, aliases, wanted string) {
		x := &index{files: map[string]file{}, softdeps: map[string][]string{}, builtin: map[string]bool{}}
		x.aliases = func() (*aliasTable, error) { return parseAliases(aliases), nil }
		x.parseDep(dep)
		x.parseSoftdeps(soft)
		all := func(string) bool { return true }
		modules, _ := x.resolve(wanted, all)
		for _, m := range modules {
			x.order(m, all)
		}
	})
}
