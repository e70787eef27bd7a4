package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// GRUB's menu is the same from a medium and over the network, but for where
// the files are.
func TestNetGrubConfig(t *testing.T) {
	ours, theirs := strings.Split(grubConfig, "\n"), strings.Split(string(netGrubConfig()), "\n")
	var changed []string
	for i := range ours {
		if ours[i] != theirs[i] {
			changed = append(changed, theirs[i])
		}
	}
	if got := strings.Join(changed, ";"); len(ours) != len(theirs) || got != "set folder=;set medium=n" {
		t.Errorf("what differs: %q", got)
	}
}

func TestIPXEMenu(t *testing.T) {
	menu := string(ipxeMenu)
	if !strings.HasPrefix(menu, "#!ipxe\n") {
		t.Error("iPXE does not know the file")
	}
	items := regexp.MustCompile(`(?m)^item (\w+) `).FindAllStringSubmatch(menu, -1)
	for _, item := range items {
		if !strings.Contains(menu, "\n:"+item[1]+"\n") {
			t.Errorf("nothing behind the entry %s", item[1])
		}
	}
	if len(items) == 0 || items[0][1] != "imaging" || !strings.Contains(menu, "choose --default imaging --timeout 5000 ") {
		t.Error("the imaging menu is not the first entry and the default")
	}
	for _, label := range regexp.MustCompile(`goto (\w+)`).FindAllStringSubmatch(menu, -1) {
		if !strings.Contains(menu, "\n:"+label[1]+"\n") {
			t.Errorf("no label %s", label[1])
		}
	}
	kernels := regexp.MustCompile(`(?m)^kernel vmlinuz (.*)$`).FindAllStringSubmatch(menu, -1)
	for _, k := range kernels {
		if !strings.HasPrefix(k[1], "${args} ${") || !strings.HasSuffix(k[1], " ${own} || goto failed") {
			t.Errorf("a kernel without the arguments of all: %s", k[0])
		}
	}
	if len(kernels) != 4 || strings.Contains(menu, "://") && !strings.Contains(menu, "set own doppel.images=nfs://") {
		t.Errorf("%d kernels; or a server is named", len(kernels))
	}
	// the kernel's arguments are those of GRUB's menu
	for _, set := range []string{"rootfstype=ramfs quiet", "console=ttyS0,115200 console=tty0", "console=tty0 console=ttyS0,115200"} {
		if !strings.Contains(menu, set+"\n") || !strings.Contains(grubConfig, `"`+set) {
			t.Errorf("%s is not in both menus", set)
		}
	}
}

// What the folder for servers tells about itself is so.
func TestNetbootFolder(t *testing.T) {
	dir := filepath.Join(outDir(t), netbootDir)
	check := exec.Command(tool(t, "sha256sum"), "--check", "--strict", "--quiet", sumsFile)
	check.Dir = dir
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("sums: %v\n%s", err, out)
	}
	sums, err := os.ReadFile(filepath.Join(dir, sumsFile))
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == sumsFile {
			return err
		}
		rel, _ := filepath.Rel(dir, name)
		if !strings.Contains(string(sums), "  "+rel+"\n") {
			t.Errorf("%s has no sum", rel)
		}
		if info, err := d.Info(); err != nil || info.Mode().Perm()&0o444 != 0o444 {
			t.Errorf("%s cannot be read by a server: %v %v", rel, info.Mode(), err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range regexp.MustCompile(`[\w/.-]+\.(?:efi|kpxe|ipxe|iso|conf|cfg|json|txt|zst)\b`).FindAllString(string(netbootReadme), -1) {
		name := strings.TrimPrefix(strings.TrimPrefix(word, "//SERVER/"), "/")
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil && name != "grub.cfg" {
			t.Errorf("the README names %s, which is not there", word)
		}
	}
}
