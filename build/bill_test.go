package main

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"debug/gosym"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"doppel.live/build/debian"
	"github.com/klauspost/compress/zstd"
	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx"
	"github.com/spdx/tools-golang/spdxlib"
	"github.com/u-root/u-root/pkg/cpio"
)

// out gives the folder with what ./build.sh made.
func outDir(t *testing.T) string {
	t.Helper()
	image := os.Getenv("DOPPEL_ISO")
	if image == "" {
		t.Skip("needs the built image: run ./build.sh test")
	}
	return filepath.Dir(image)
}

// readBill reads the bill of materials with the SPDX project's own library.
func readBill(t *testing.T) *spdx.Document {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(outDir(t), billFile))
	if err != nil {
		t.Fatal(err)
	}
	d, err := spdxjson.Read(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if err := spdxlib.ValidateDocument(d); err != nil {
		t.Error(err)
	}
	return d
}

// What SPDX 2.3 asks of a document and of its packages (chapters 6 and 7).
func TestBillIsSPDX(t *testing.T) {
	d := readBill(t)
	if d.SPDXVersion != "SPDX-2.3" || d.DataLicense != "CC0-1.0" || d.SPDXIdentifier != "DOCUMENT" || d.DocumentNamespace == "" || d.CreationInfo.Created == "" {
		t.Errorf("head of the document: %+v", d)
	}
	id, hash := regexp.MustCompile(`^[a-zA-Z0-9.-]+$`), regexp.MustCompile(`^[0-9a-f]{64}$`)
	known, exceptions := licenceList(t, "spdx-license-ids"), licenceList(t, "spdx-exceptions")
	for _, l := range d.OtherLicenses {
		if !regexp.MustCompile(`^LicenseRef-[a-zA-Z0-9.-]+$`).MatchString(l.LicenseIdentifier) || l.ExtractedText == "" || slices.Contains(known, l.LicenseIdentifier) {
			t.Errorf("licence %q, text of %d bytes", l.LicenseIdentifier, len(l.ExtractedText))
		}
		known = append(known, l.LicenseIdentifier)
	}
	seen := map[string]bool{}
	for _, p := range d.Packages {
		name := string(p.PackageSPDXIdentifier)
		if seen[name] || !id.MatchString(name) || p.PackageName == "" || p.PackageVersion == "" || p.PackageDownloadLocation == "" || p.FilesAnalyzed {
			t.Errorf("package %s: %+v", name, p)
		}
		seen[name] = true
		if p.PackageName == "doppel" {
			continue
		}
		if p.PackageSupplier == nil || len(p.PackageExternalReferences) != 1 || !strings.HasPrefix(p.PackageExternalReferences[0].Locator, "pkg:") {
			t.Errorf("%s: supplier %v, references %v", name, p.PackageSupplier, p.PackageExternalReferences)
		}
		if len(p.PackageChecksums) != 1 && p.PackageName != "go" || len(p.PackageChecksums) == 1 && !hash.MatchString(p.PackageChecksums[0].Value) {
			t.Errorf("%s: checksums %v", name, p.PackageChecksums)
		}
		checkExpression(t, name, p.PackageLicenseDeclared, known, exceptions)
	}
	if len(d.Relationships) != len(d.Packages) {
		t.Errorf("%d relationships of %d packages", len(d.Relationships), len(d.Packages))
	}
}

// checkExpression reads a licence expression (SPDX 2.3, annex D).
func checkExpression(t *testing.T, name, expression string, known, exceptions []string) {
	t.Helper()
	last := "AND"
	for _, word := range strings.Fields(strings.NewReplacer("(", " ", ")", " ").Replace(expression)) {
		list := known
		switch {
		case slices.Contains([]string{"AND", "OR", "WITH"}, word):
			list = nil
		case last == "WITH":
			list = exceptions
		}
		if list != nil && !slices.Contains(list, word) {
			t.Errorf("%s: licence %s of %q is not known", name, word, expression)
		}
		last = word
	}
	if expression == "" || strings.Count(expression, "(") != strings.Count(expression, ")") {
		t.Errorf("%s: %q is no expression", name, expression)
	}
}

// licenceList is Debian's copy of a list of the SPDX project's.
func licenceList(t *testing.T, name string) (list []string) {
	t.Helper()
	data, err := os.ReadFile("/usr/share/nodejs/" + name + "/index.json")
	if err != nil {
		t.Skipf("node-%s is not installed", name)
	}
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// Every Debian package of the lock file, every module that the programs name
// and every Go package in the live system's one program is in it.
func TestBillIsComplete(t *testing.T) {
	d := readBill(t)
	version := map[string]string{}
	sums := map[string]string{}
	for _, p := range d.Packages {
		version[p.PackageName] = p.PackageVersion
		if len(p.PackageChecksums) > 0 {
			sums[p.PackageName] = p.PackageChecksums[0].Value
		}
	}
	locked, err := os.ReadFile(filepath.Join(outDir(t), lockFile))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(locked)) {
		words := strings.Split(strings.TrimSpace(line), "=")
		if version[words[0]] != words[1] || sums[words[0]] != words[2] {
			t.Errorf("%s: version %s, sum %s", strings.TrimSpace(line), version[words[0]], sums[words[0]])
		}
	}
	host, err := buildinfo.ReadFile(os.Getenv("DOPPEL_HOST"))
	if err != nil {
		t.Fatal(err)
	}
	if version["go"] != strings.TrimPrefix(host.GoVersion, "go") {
		t.Errorf("Go %s, the program was made by %s", version["go"], host.GoVersion)
	}
	for _, m := range host.Deps {
		want, err := module{path: m.Path, sum: m.Sum}.sha256()
		if err != nil || version[m.Path] != m.Version || sums[m.Path] != want {
			t.Errorf("%s %s %s: %s %s %v", m.Path, m.Version, m.Sum, version[m.Path], sums[m.Path], err)
		}
	}
	own := regexp.MustCompile(`^(doppel\.live|bb\.u-root\.com/bb)(/|$)`)
	packages := goPackages(t, busybox(t))
	for _, p := range packages {
		covered := own.MatchString(p) || !strings.Contains(strings.Split(p, "/")[0], ".")
		for dir := p; dir != "." && !covered; dir = path.Dir(dir) {
			covered = version[dir] != "" || version[dir+"/v2"] != ""
		}
		if !covered {
			t.Errorf("%s is in the live system and in no module named", p)
		}
	}
	if !slices.Contains(packages, "github.com/u-root/u-root/pkg/libinit") || len(packages) < 100 {
		t.Errorf("only %d packages found in the live system's program", len(packages))
	}
}

// busybox takes the commands' program out of the initramfs.
func busybox(t *testing.T) []byte {
	t.Helper()
	data, err := os.ReadFile(os.Getenv("DOPPEL_INITRD"))
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(data, []byte("TRAILER!!!"))
	at += bytes.Index(data[at:], []byte("\x28\xb5\x2f\xfd")) // the first zstd frame behind
	z, err := zstd.NewReader(bytes.NewReader(data[at:]))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	plain, err := io.ReadAll(z) // ends with an error at the next segment
	if len(plain) == 0 {
		t.Fatal(err)
	}
	archive := cpio.Newc.Reader(bytes.NewReader(plain))
	for {
		record, err := archive.ReadRecord()
		if err != nil {
			t.Fatalf("no bbin/bb: %v", err)
		}
		if record.Name == "bbin/bb" {
			program, err := io.ReadAll(io.NewSectionReader(record, 0, int64(record.FileSize)))
			if err != nil {
				t.Fatal(err)
			}
			return program
		}
	}
}

// goPackages lists the packages of the functions in a Go program.
func goPackages(t *testing.T, program []byte) []string {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		t.Fatal(err)
	}
	lines, err := f.Section(".gopclntab").Data()
	if err != nil {
		t.Fatal(err)
	}
	table, err := gosym.NewTable(nil, gosym.NewLineTable(lines, f.Section(".text").Addr))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, fn := range table.Funcs {
		name := fn.Name
		if i := strings.IndexByte(name, '['); i >= 0 {
			name = name[:i] // of a type parameter
		}
		folder, last := path.Split(name)
		last, _, _ = strings.Cut(last, ".")
		if last != "" && !strings.ContainsAny(folder+last, ":( *") {
			found[strings.ReplaceAll(folder+last, "%2e", ".")] = true
		}
	}
	var list []string
	for name := range found {
		list = append(list, name)
	}
	return list
}

// The disc holds the same bill, and with it the licence texts of everything
// in it.
func TestDiscHoldsBillAndLicences(t *testing.T) {
	out, dir := outDir(t), t.TempDir()
	extract := exec.Command(tool(t, "xorriso"), "-osirrox", "on", "-indev", filepath.Join(out, imageFile), "-extract", "/doc", dir)
	if text, err := extract.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	want, err := os.ReadFile(filepath.Join(out, billFile))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, billFile)); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the bill on the disc is another one: %v", err)
	}
	tool(t, "zstd")
	list, err := exec.Command("tar", "--zstd", "-tf", filepath.Join(dir, licencesFile)).Output()
	if err != nil {
		t.Fatal(err)
	}
	names := strings.Split(string(list), "\n")
	for _, p := range readBill(t).Packages {
		prefix := "go/" + p.PackageName + "@" + p.PackageVersion + "/"
		if strings.HasPrefix(string(p.PackageSPDXIdentifier), "deb-") {
			prefix = "debian/" + p.PackageName
		}
		if p.PackageName != "doppel" && !slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, prefix) }) {
			t.Errorf("no licence text %s", prefix)
		}
	}
}

func TestModuleLocation(t *testing.T) {
	for want, m := range map[string]module{
		"git+https://github.com/a/b@v1.2.3":           {path: "github.com/a/b", version: "v1.2.3"},
		"git+https://github.com/a/b@v2.0.0":           {path: "github.com/a/b/v2", version: "v2.0.0"},
		"git+https://github.com/a/b@v4.0.0":           {path: "github.com/a/b", version: "v4.0.0+incompatible"},
		"git+https://github.com/a/b@2e884e4509c7#src": {path: "github.com/a/b/src", version: "v0.0.0-20250101170133-2e884e4509c7"},
		"git+https://github.com/a/b@a6a12c4a31eb":     {path: "github.com/a/b", version: "v0.15.1-0.20230123181021-a6a12c4a31eb"},
		"git+https://github.com/a/b@src/v1.0.0#src":   {path: "github.com/a/b/src", version: "v1.0.0"},
		"git+https://go.googlesource.com/sys@v0.49.0": {path: "golang.org/x/sys", version: "v0.49.0"},
		"https://mvdan.cc/sh/v3?go-get=1":             {path: "mvdan.cc/sh/v3", version: "v3.11.0"},
		"git+https://go.googlesource.com/go@go1.26.8": {path: "go", version: "1.26.8"},
	} {
		if got := m.location(); got != want {
			t.Errorf("%v: %s, want %s", m, got, want)
		}
	}
}

func TestSourcePackage(t *testing.T) {
	for _, c := range []struct {
		p             debian.Package
		name, version string
	}{
		{debian.Package{Name: "a", Version: "1"}, "a", "1"},
		{debian.Package{Name: "a", Version: "1", Source: "b"}, "b", "1"},
		{debian.Package{Name: "a", Version: "1+b2", Source: "b (1)"}, "b", "1"},
	} {
		if name, version := c.p.SourcePackage(); name != c.name || version != c.version {
			t.Errorf("%+v: %s %s", c.p, name, version)
		}
	}
}
