package initramfs

import (
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestCommandsInTools holds the list of commands against tools.go, which keeps
// them in go.mod.
func TestCommandsInTools(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "tools.go", nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var imported []string
	for _, i := range file.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		imported = append(imported, strings.TrimPrefix(p, uroot))
	}
	if !slices.Equal(imported, commandList) {
		t.Errorf("tools.go imports %v,\ncommandList is %v", imported, commandList)
	}
	if !slices.IsSorted(commandList) {
		t.Error("commandList is not sorted")
	}
}

// TestNames finds two commands or programs with one name.
func TestNames(t *testing.T) {
	seen := make(map[string]string)
	add := func(name, what string) {
		if seen[name] != "" {
			t.Errorf("%s is a %s and a %s", name, seen[name], what)
		}
		seen[name] = what
	}
	for _, c := range commandList {
		add(path.Base(c), "command of u-root")
	}
	own, err := ours("..")
	if err != nil || len(own) == 0 {
		t.Fatalf("no commands of ours: %v", err)
	}
	for _, c := range own {
		add(c, "command of ours")
	}
	for _, p := range programList {
		add(path.Base(p.path), "program of "+p.pkg)
		for name := range strings.FieldsSeq(p.names) {
			add(path.Base(name), "name for "+p.path)
		}
	}
}

// packageName is how Debian's policy, 5.6.1, writes one.
var packageName = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+$`)

func TestLists(t *testing.T) {
	for _, free := range []bool{false, true} {
		names := Packages(free)
		if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
			t.Errorf("packages are not sorted, each once: %v", names)
		}
		for _, n := range names {
			if !packageName.MatchString(n) {
				t.Errorf("package %q", n)
			}
		}
		if slices.Contains(names, "firmware-realtek") == free {
			t.Errorf("free is %v and firmware-realtek in the list", free)
		}
	}
	paths := make(map[string]bool)
	check := func(p string) {
		if paths[p] || merged(p) != strings.TrimSuffix(p, "/") {
			t.Errorf("%s stands twice or is not clean", p)
		}
		paths[p] = true
	}
	for _, p := range programList {
		check(p.path)
	}
	for _, f := range fileList {
		check(f.path)
	}
	for _, f := range writtenList {
		check(f.path)
		if !strings.HasSuffix(f.text, "\n") {
			t.Errorf("%s does not end with a line's end", f.path)
		}
	}
	for _, d := range directoryList {
		check(d.path)
	}
	seen := make(map[drivers]bool)
	for _, d := range moduleList {
		if _, err := path.Match(d.pattern, ""); err != nil || seen[d] || d.class == "" || strings.HasPrefix(d.pattern, "kernel/") {
			t.Errorf("module pattern %v: %v", d, err)
		}
		seen[d] = true
	}
}

// TestGoDebug holds the defaults that the commands are built with against the
// version in go.mod.
func TestGoDebug(t *testing.T) {
	data, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(data)
	if version == nil || goDebug != "//go:debug default=go"+string(version[1])+"\n" {
		t.Errorf("goDebug is %q, go.mod says %s", goDebug, version)
	}
}

func TestMatches(t *testing.T) {
	tests := []struct {
		pattern, module string
		want            bool
	}{
		{"drivers/ata/", "kernel/drivers/ata/ahci.ko.xz", true},
		{"drivers/ata/", "kernel/drivers/ata/sub/x.ko", true},
		{"drivers/ata/", "kernel/drivers/ata2/x.ko", false},
		{"drivers/block/loop", "kernel/drivers/block/loop.ko.xz", true},
		{"drivers/block/loop", "kernel/drivers/block/loop2.ko.xz", false},
		{"drivers/misc/tifm_*", "kernel/drivers/misc/tifm_core.ko", true},
		{"drivers/misc/tifm_*", "kernel/drivers/misc/tifm_sub/core.ko", false},
		{"drivers/ata/", "updates/drivers/ata/ahci.ko.xz", false},
	}
	for _, test := range tests {
		if got := matches(test.pattern, test.module); got != test.want {
			t.Errorf("matches(%q, %q) = %v", test.pattern, test.module, got)
		}
	}
}

// TestChoose checks the list against a kernel: every line fits something, what
// is chosen has all it needs, and no exception is in it.
func TestChoose(t *testing.T) {
	tree := os.Getenv("DOPPEL_KERNEL_TREE")
	if tree == "" {
		t.Skip("no kernel package: DOPPEL_KERNEL_TREE is not set")
	}
	dir, err := moduleTree(tree, "")
	if err != nil {
		t.Fatal(err)
	}
	all, err := scan(dir, testCache(t))
	if err != nil {
		t.Fatal(err)
	}
	chosen, class, err := choose(all)
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, m := range chosen.Modules {
		names[m.Name()] = true
		if class[m] == "" {
			t.Errorf("%s has no class", m.Path)
		}
	}
	wanted := "ahci ata_piix nvme vmd sd_mod sr_mod uas usb_storage xhci_pci mmc_block sdhci_pci virtio_blk virtio_scsi hv_storvsc" +
		" mpt3sas megaraid_sas hpsa smartpqi dm_snapshot dm_thin_pool dm_crypt raid456 loop nbd ext4 xfs btrfs ntfs3 exfat vfat isofs udf" +
		" nfsv4 cifs e1000e igb ixgbe i40e ice tg3 bnx2x r8169 realtek mlx5_core virtio_net vmxnet3 r8152 asix bonding 8021q" +
		" hid_generic usbhid i2c_hid_acpi psmouse efivarfs tpm_tis crc32c_generic nls_iso8859_1 qxl bochs"
	for n := range strings.FieldsSeq(wanted) {
		if !names[n] && !slices.ContainsFunc(all.Builtin, func(p string) bool { return strings.HasSuffix(p, "/"+n+".ko") }) {
			t.Errorf("%s is not chosen", n)
		}
	}
	for _, n := range []string{"tcrypt", "md_cluster", "serio_raw"} {
		if names[n] {
			t.Errorf("%s is chosen", n)
		}
	}
}

// testCache returns the builder's cache, where there is one.
func testCache(t *testing.T) cache {
	if dir := os.Getenv("DOPPEL_CACHE"); dir != "" {
		dir = filepath.Join(dir, "initramfs")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		return cache(dir)
	}
	return cache(t.TempDir())
}
