package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestGrubScripts(t *testing.T) {
	check := tool(t, "grub-script-check")
	for name, script := range map[string]string{"grub.cfg": grubConfig, "esp.cfg": string(espGrubConfig("id")), "netboot/grub.cfg": string(netGrubConfig())} {
		if out, err := exec.Command(check, write(t, []byte(script))).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// Braces and words that open a block are counted, for machines without
// grub-script-check.
func TestGrubBlocksAreClosed(t *testing.T) {
	for name, script := range map[string]string{"grub.cfg": grubConfig, "esp.cfg": espConfig} {
		count := func(pattern string) int {
			return len(regexp.MustCompile(`(?m)(^|\s|;)`+pattern+`(\s|;|$)`).FindAllString(script, -1))
		}
		for open, shut := range map[string]string{`\{`: `\}`, "if": "fi", "do": "done"} {
			if count(open) != count(shut) {
				t.Errorf("%s: %d %s, %d %s", name, count(open), open, count(shut), shut)
			}
		}
	}
}

func TestGrubMenu(t *testing.T) {
	entries := regexp.MustCompile(`menuentry "([^"]+)" --id (\S+)`).FindAllStringSubmatch(grubConfig, -1)
	if len(entries) == 0 || entries[0][2] != "imaging" || !strings.Contains(grubConfig, "set default=imaging") {
		t.Fatal("the imaging menu is not the first entry and the default")
	}
	for line := range strings.Lines(grubConfig) {
		for _, all := range []string{"$args ", " $own \"$job\"\n"} {
			if strings.HasPrefix(strings.TrimSpace(line), "linux $folder/vmlinuz") && !strings.Contains(line, all) {
				t.Errorf("a kernel without the arguments of all: %s", line)
			}
		}
	}
	if !strings.Contains(grubConfig, "rootfstype=ramfs") {
		t.Error("rootfstype=ramfs is missing: half the memory would bound the live system")
	}
	unsigned := regexp.MustCompile(`(?s)if \[ "\$lockdown" != y \]; then\n\tmenuentry "Memory test"`)
	if !unsigned.MatchString(grubConfig) {
		t.Error("the memory test shows under Secure Boot, which refuses it")
	}
}

func TestESPConfigFindsItsOwnMedium(t *testing.T) {
	script := string(espGrubConfig("the-id"))
	if !strings.Contains(script, "/.disk/id/the-id;") || strings.Contains(script, "@") {
		t.Errorf("the id of the build is not in it:\n%s", script)
	}
}

// The judge of reading Debian's rescue disc is xorriso.
func TestReadRescue(t *testing.T) {
	found, _ := filepath.Glob(filepath.Join(os.Getenv("DOPPEL_CACHE"), "trees/boot-*/usr/lib/grub-rescue/grub-rescue-cdrom.iso"))
	if len(found) == 0 {
		t.Skip("no rescue disc in DOPPEL_CACHE")
	}
	list, err := readRescue(found[0])
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	out, err := exec.Command(tool(t, "xorriso"), "-osirrox", "on", "-indev", found[0], "-extract", "/", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, f := range list {
		want, err := os.ReadFile(filepath.Join(dir, f.path))
		if err != nil || !bytes.Equal(f.data, want) {
			t.Errorf("%s is not what xorriso reads: %v", f.path, err)
		}
	}
	modules, _ := filepath.Glob(filepath.Join(dir, filepath.Dir(biosImage), "*"))
	if len(list) != len(modules)+1 {
		t.Errorf("%d files, want %d modules and a font", len(list), len(modules))
	}
}
