package inventory

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"doppel.live/internal/blockdev"
	"doppel.live/internal/image"
	"doppel.live/internal/partition/tabletest"
)

const mib = 1 << 20

// sample is a GPT disk: 1 swap, 2 nothing known.
func sample(t *testing.T) []byte {
	t.Helper()
	dir := t.TempDir()
	disk, swap := filepath.Join(dir, "disk"), filepath.Join(dir, "swap")
	for name, size := range map[string]int64{disk: 16 * mib, swap: 4 * mib} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(name, size); err != nil {
			t.Fatal(err)
		}
	}
	run := func(in, name string, args ...string) {
		cmd := exec.Command(name, args...)
		cmd.Stdin = strings.NewReader(in)
		cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/sbin:/usr/sbin")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Skipf("needs %s: %v %s", name, err, out)
		}
	}
	run("label: gpt\nsize=4MiB,type=S,name=one\nsize=4MiB\n", "sfdisk", "--quiet", disk)
	run("", "mkswap", "-L", "pages", swap)
	d, err := os.ReadFile(disk)
	if err != nil {
		t.Fatal(err)
	}
	s, _ := os.ReadFile(swap)
	copy(d[mib:], s)
	return d
}

func TestLookSaysWhatLiesOnADisk(t *testing.T) {
	d := sample(t)
	c, err := Look(bytes.NewReader(d), "sda", int64(len(d)), 512)
	if err != nil || len(c.Volumes) != 2 {
		t.Fatal(err, c)
	}
	if v := c.Volumes[0]; v.Name != "sda1" || v.Method() != image.Swap || v.Offset != mib || v.Size != 4*mib {
		t.Errorf("%+v", v)
	}
	if v := c.Volumes[1]; v.Name != "sda2" || v.Method() != image.Raw || v.Probe.Reason == "" {
		t.Errorf("%+v", v)
	}
	for want, b := range map[string][]byte{
		`gpt table, 2 partitions: 1 swap "pages" 4.2 MB, 2 unknown 4.2 MB`: d,
		"empty":        make([]byte, 4*mib),
		"unknown data": append(bytes.Repeat([]byte{7}, 512), make([]byte, 4*mib)...),
		`swap "pages"`: d[mib : 5*mib],
	} {
		if got, _, err := Describe(bytes.NewReader(b), int64(len(b)), 512); got != want || err != nil {
			t.Errorf("%q, want %q (%v)", got, want, err)
		}
	}
}

// A table that counts in other sectors than the device has: the device is one
// raw volume, and nothing of it is left out.
func TestTableOfOtherSectors(t *testing.T) {
	mbr := make([]byte, 16*mib)
	tabletest.MBREntry(mbr, 0, 0, 0x83, 256, 512) // with 4096 bytes: 2 MiB at 1 MiB
	copy(mbr[mib+4086:], "SWAPSPACE2")
	plain := make([]byte, 16*mib)
	tabletest.MBREntry(plain, 0, 0, 0x83, 256, 512)
	for name, c := range map[string]struct {
		disk    []byte
		sector  int64
		doubt   string
		volumes int
	}{
		"GPT of 512, seen with 4096":       {sample(t), 4096, "counts in sectors of 512 bytes, and its sectors have 4096", 1},
		"MBR of 4096, seen with 512":       {mbr, 512, "counts in sectors of 4096 bytes, and its sectors have 512", 1},
		"MBR with nothing on it, as is":    {plain, 512, "", 1},
		"MBR of 4096, seen with 4096":      {mbr, 4096, "", 1},
		"GPT of 512, seen with 512, as is": {sample(t), 512, "", 2},
	} {
		got, err := Look(bytes.NewReader(c.disk), "sda", int64(len(c.disk)), c.sector)
		if err != nil || !strings.Contains(got.Doubt, c.doubt) || (got.Doubt == "") != (c.doubt == "") || len(got.Volumes) != c.volumes {
			t.Errorf("%s: %q, %d volumes, %v", name, got.Doubt, len(got.Volumes), err)
		} else if v := got.Volumes[0]; c.doubt != "" && (v.Offset != 0 || v.Size != int64(len(c.disk)) || v.Method() != image.Raw) {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

func TestShowIsWhatTheCommandPrints(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(path, sample(t), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := blockdev.System{}.Disk(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(Show(d))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"scheme":"gpt"`, `"partition_label":"one"`, `"file_system":"swap"`, `"label":"pages"`, `"method":"swap"`,
		`"used":-1`, `"in_use":[]`, `"health":{"state":"unknown"`, `"path":"` + path + `1"`, `"boot_medium":false`, `"serial":""`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%s is not in\n%s", want, b)
		}
	}
	d.Path = path + "none"
	if s := Show(d); !strings.HasPrefix(s.Contents, "cannot be read") || s.Partitions == nil {
		t.Errorf("%+v", s)
	}
}
