package modules

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// realTree returns a kernel's lib/modules/VERSION to compare with depmod on:
// below the directory in DOPPEL_KERNEL_TREE, or else the sample.
func realTree(t *testing.T) string {
	if tree := os.Getenv("DOPPEL_KERNEL_TREE"); tree != "" {
		found, err := filepath.Glob(filepath.Join(tree, "usr/lib/modules/*"))
		if err != nil || len(found) != 1 {
			t.Fatalf("%d module trees below %s", len(found), tree)
		}
		return found[0]
	}
	return sampleTree(t)
}

// TestAgainstDepmod compares the index with that of kmod's depmod.
func TestAgainstDepmod(t *testing.T) {
	depmod, err := exec.LookPath("depmod")
	if err != nil {
		if depmod, err = exec.LookPath("/sbin/depmod"); err != nil {
			t.Skip("no depmod (package kmod)")
		}
	}
	dir := realTree(t)
	base := t.TempDir()
	const version = "6.0.0"
	if err := os.MkdirAll(filepath.Join(base, "lib/modules"), 0o755); err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(base, "lib/modules", version)
	if out, err := exec.Command("cp", "-r", dir, copied).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := exec.Command(depmod, "-b", base, version).CombinedOutput(); err != nil {
		t.Fatalf("depmod: %v: %s", err, out)
	}
	tree, err := Scan(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range tree.Index() {
		theirs, err := os.ReadFile(filepath.Join(copied, f.Name))
		if err != nil {
			t.Error(err)
			continue
		}
		ours := lines(f.Data, f.Name == "modules.dep")
		want := lines(theirs, f.Name == "modules.dep")
		if f.Name == "modules.dep" && os.Getenv("DOPPEL_KERNEL_TREE") == "" {
			continue // the sample's modules have no symbols, from which depmod takes them
		}
		t.Logf("%s: %d lines", f.Name, len(ours))
		for _, l := range ours {
			if _, ok := slices.BinarySearch(want, l); !ok {
				t.Errorf("%s: depmod does not say %q", f.Name, l)
			}
		}
		for _, l := range want {
			if _, ok := slices.BinarySearch(ours, l); !ok {
				t.Errorf("%s: only depmod says %q", f.Name, l)
			}
		}
	}
}

// lines returns the sorted lines of an index file; words makes the order of
// the words in a line no matter.
func lines(data []byte, words bool) []string {
	var all []string
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			continue
		}
		if words {
			f := strings.Fields(line)
			slices.Sort(f[1:])
			line = strings.Join(f, " ")
		}
		all = append(all, line)
	}
	slices.Sort(all)
	return all
}

func TestIndexText(t *testing.T) {
	tree, err := Scan(sampleTree(t))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"modules.dep":     "kernel/drivers/net/r8169.ko: kernel/drivers/net/phy/mdio_devres.ko kernel/drivers/net/phy/libphy.ko\n",
		"modules.alias":   "alias crypto-crc32c crc32c_intel\n",
		"modules.softdep": "softdep xfs pre: crc32c\n",
		"modules.devname": "loop loop-control c10:237\n",
		"modules.builtin": "kernel/fs/fuse/fuse.ko\n",
	}
	for _, f := range tree.Index() {
		if !strings.Contains(string(f.Data), want[f.Name]) {
			t.Errorf("%s has no %q:\n%s", f.Name, want[f.Name], f.Data)
		}
		delete(want, f.Name)
	}
	for name := range want {
		t.Errorf("no %s", name)
	}
}

func TestClose(t *testing.T) {
	tree, err := Scan(sampleTree(t))
	if err != nil {
		t.Fatal(err)
	}
	byName := tree.names()
	tests := []struct {
		name, chosen string
		want         string
	}{
		{"depends and soft", "r8169", "libphy mdio_devres r8169 realtek"},
		{"soft by alias", "xfs", "crc32c_generic crc32c_intel libcrc32c xfs"},
		{"post, in a circle", "sg", "scsi_mod sd_mod sg"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			closed, err := tree.Close([]*Module{byName[test.chosen]})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for m := range closed {
				got = append(got, m.Name())
			}
			slices.Sort(got)
			if strings.Join(got, " ") != test.want {
				t.Errorf("got %v, want %s", got, test.want)
			}
		})
	}
	cut := tree.Subset(func(m *Module) bool { return m.Name() != "libphy" })
	if _, err := cut.Close([]*Module{byName["r8169"]}); err == nil {
		t.Error("a missing dependency is no error")
	}
}
