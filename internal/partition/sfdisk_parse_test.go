package partition

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestParseSfdisk reads the dump of every layout back.
func TestParseSfdisk(t *testing.T) {
	for name, layout := range layouts {
		t.Run(name, func(t *testing.T) {
			path := disk(t, layout, 64*mib)
			want := open(t, path, 512)
			dump := run(t, "", "sfdisk", "--dump", path)
			got, err := ParseSfdisk(dump, want.DiskSize)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got.Partitions, want.Partitions) || got.ID != want.ID || got.Scheme != want.Scheme {
				t.Errorf("%+v, want %+v", got, want)
			}
			if got.SfdiskDump(path) != dump {
				t.Errorf("%s, want %s", got.SfdiskDump(path), dump)
			}
		})
	}
}

// TestClonezillaDumps reads the tables of images that Clonezilla saved.
func TestClonezillaDumps(t *testing.T) {
	names, _ := filepath.Glob("../../../shared/fixtures/clonezilla*/*-pt.sf")
	if len(names) == 0 {
		t.Skip("no fixtures")
	}
	for _, name := range names {
		dump, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if table, err := ParseSfdisk(string(dump), 1<<40); err != nil || len(table.Partitions) == 0 || table.Conflict() != "" {
			t.Errorf("%s: %+v, %v", name, table, err)
		}
	}
}

func FuzzParseSfdisk(f *testing.F) {
	f.Add("label: gpt\nlabel-id: A\nunit: sectors\nsector-size: 512\n\n/dev/sda1 : start=2048, size=100, type=A, uuid=B, name=\"a\\x22, b\", attrs=\"GUID:1,63\"\n")
	f.Add("label: dos\nlabel-id: 0xdeadbeef\n\nsda1 : start= 63, size= 9, Id=83, bootable\n")
	f.Fuzz(func(t *testing.T, dump string) {
		table, err := ParseSfdisk(dump, 1<<30)
		if err != nil {
			return
		}
		if _, err := ParseSfdisk(table.SfdiskDump("/dev/sda"), 1<<30); err != nil {
			t.Fatal(err)
		}
		_ = table.Gap()
	})
}
