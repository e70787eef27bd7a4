package debian

import (
	"slices"
	"strings"
	"testing"
)

// list is in the manner of a Packages file: an old and a new version of a
// library, a virtual package, alternatives, and what must not be followed.
const list = `Package: disktool
Version: 1:2.0-1
Architecture: amd64
Section: admin
Depends: libdisk1 (>= 2), libmissing | libcrypt-impl (>= 1) | libnever,
 debconf (>= 0.5) | debconf-2.0, python3:any
Pre-Depends: libc6 (>= 2.38)
Filename: pool/main/d/disktool_2.0-1_amd64.deb
Size: 1234
SHA256: aa

Package: libdisk1
Version: 2.0-9
Section: libs
Depends: libc6, libpam-disk, init-system
Filename: old
Size: 1
SHA256: bb

Package: libdisk1
Version: 2.0-10
Section: libs
Depends: libc6, libpam-disk, init-system
Filename: new
Size: 1
SHA256: cc

Package: libcrypto3
Version: 3
Section: libs
Provides: libcrypt-impl (= 3), libother
Size: 1
SHA256: dd

Package: libc6
Version: 2.41-1
Section: libs
Depends: libgcc-s1
Size: 1
SHA256: ee

Package: libgcc-s1
Version: 14
Section: libs
Depends: libc6
Size: 1
SHA256: ff

Package: libpam-disk
Version: 1
Section: admin
Size: 1
SHA256: 00

Package: debconf
Version: 1
Section: admin
Size: 1
SHA256: 11
`

func archive(t *testing.T) *Archive {
	t.Helper()
	a := NewArchive()
	if err := a.Read(strings.NewReader(list)); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestRead(t *testing.T) {
	p := archive(t).Package("disktool")
	if p == nil || p.Version != "1:2.0-1" || p.Size != 1234 || p.SHA256 != "aa" {
		t.Fatalf("disktool is %+v", p)
	}
	if want := "disktool_1%3a2.0-1_amd64.deb"; p.File() != want {
		t.Errorf("file is %s, want %s", p.File(), want)
	}
	if want := "disktool=1:2.0-1=aa"; p.String() != want {
		t.Errorf("lock line is %s, want %s", p, want)
	}
}

func TestNewestVersionWins(t *testing.T) {
	if p := archive(t).Package("libdisk1"); p.Filename != "new" {
		t.Errorf("version %s was chosen", p.Version)
	}
}

func TestClosure(t *testing.T) {
	chosen, err := archive(t).Closure([]string{"disktool"})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range chosen {
		names = append(names, p.Name)
	}
	if want := []string{"disktool", "libc6", "libcrypto3", "libdisk1", "libgcc-s1"}; !slices.Equal(names, want) {
		t.Errorf("closure is %q, want %q", names, want)
	}
}

func TestClosureNamesWhatIsMissing(t *testing.T) {
	_, err := archive(t).Closure([]string{"libc6", "nothing", "libc6", "nowhere"})
	if err == nil || !strings.Contains(err.Error(), "nothing nowhere") {
		t.Errorf("error is %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(list)
	f.Add("Package: a\nSize: x\n")
	f.Fuzz(func(t *testing.T, text string) {
		a := NewArchive()
		if a.Read(strings.NewReader(text)) == nil {
			for name := range a.packages {
				if _, err := a.Closure([]string{name}); err != nil {
					t.Error(err)
				}
			}
		}
	})
}
