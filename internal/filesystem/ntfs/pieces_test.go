package ntfs

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
)

// volumeFile is a volume in memory that tests change by hand.
type volumeFile struct {
	t    testing.TB
	data []byte
}

func load(t testing.TB, path string) *volumeFile {
	t.Helper()
	return &volumeFile{t, fstest.Load(t, path)}
}

func (v *volumeFile) save(path string) {
	v.t.Helper()
	if err := os.WriteFile(path, v.data, 0o600); err != nil {
		v.t.Fatal(err)
	}
}

func (v *volumeFile) open() *fileSystem {
	v.t.Helper()
	f, err := open(bytes.NewReader(v.data), int64(len(v.data)))
	if err != nil {
		v.t.Fatal(err)
	}
	return f
}

// change calls edit with a record that has its fixups undone, and puts it back
// with fixups, in $MFTMirr too where that has it.
func (v *volumeFile) change(number int64, edit func(rec record)) {
	v.t.Helper()
	f := v.open()
	size := f.boot.record
	p := make([]byte, size)
	if err := f.mft.readAt(p, number*size); err != nil {
		v.t.Fatal(err)
	}
	if err := undoFixups(p); err != nil {
		v.t.Fatal(err)
	}
	edit(record{data: p})
	doFixups(p)
	off, _ := f.mft.offset(number * size)
	copy(v.data[off:], p)
	if number < 4 {
		mirror := int64(le.Uint64(v.data[0x38:])) * f.boot.cluster
		copy(v.data[mirror+number*size:], p)
	}
}

func doFixups(p []byte) {
	at, n := int(le.Uint16(p[4:])), int(le.Uint16(p[6:]))
	for i := 1; i < n; i++ {
		end := p[i*stride-2 : i*stride]
		copy(p[at+2*i:], end)
		copy(end, p[at:at+2])
	}
}

// nonResident encodes an attribute of type $DATA without a name.
func nonResident(instance uint16, vcn int64, runs []run, size int64, cluster int64) []byte {
	a := make([]byte, 0x40)
	length := int64(0)
	lcn := int64(0)
	for _, r := range runs {
		a = append(a, 0x44)
		a = le.AppendUint32(a, uint32(r.length))
		a = le.AppendUint32(a, uint32(r.lcn-lcn))
		lcn = r.lcn
		length += r.length
	}
	a = append(a, 0)
	for len(a)%8 != 0 {
		a = append(a, 0)
	}
	le.PutUint32(a, attrData)
	le.PutUint32(a[4:], uint32(len(a)))
	a[8] = 1
	le.PutUint16(a[0x0A:], 0x40)
	le.PutUint16(a[0x0E:], instance)
	le.PutUint64(a[0x10:], uint64(vcn))
	le.PutUint64(a[0x18:], uint64(vcn+length-1))
	le.PutUint16(a[0x20:], 0x40)
	if vcn == 0 {
		le.PutUint64(a[0x28:], uint64((size+cluster-1)/cluster*cluster))
		le.PutUint64(a[0x30:], uint64(size))
		le.PutUint64(a[0x38:], uint64(size))
	}
	return a
}

// replace puts attributes in the place of all that the record has of their
// types.
func replace(rec record, list ...[]byte) {
	rec.attributes(func(a attribute) bool {
		if !slices.ContainsFunc(list, func(b []byte) bool { return le.Uint32(b) == a.kind() }) {
			list = append(list, bytes.Clone(a))
		}
		return true
	})
	slices.SortStableFunc(list, func(a, b []byte) int { return int(le.Uint32(a)) - int(le.Uint32(b)) })
	at := int(le.Uint16(rec.data[0x14:]))
	clear(rec.data[at:])
	for _, a := range list {
		at += copy(rec.data[at:], a)
	}
	at += copy(rec.data[at:], "\xFF\xFF\xFF\xFF\x00\x00\x00\x00")
	le.PutUint32(rec.data[0x18:], uint32(at))
	le.PutUint16(rec.data[0x28:], 100) // next number of an attribute
}

// scatter gives clusters that are free, each by itself, and marks them.
func (v *volumeFile) scatter(n int64) []run {
	v.t.Helper()
	f := v.open()
	rng := rand.New(rand.NewPCG(9, 10))
	w := make([]byte, (f.boot.clusters+63)/64*8)
	if err := f.readBits(w, 0, f.boot.clusters); err != nil {
		v.t.Fatal(err)
	}
	var list []run
	for int64(len(list)) < n {
		c := rng.Int64N(f.boot.clusters-2) + 1
		if (w[c/8]>>(c%8))&1 == 0 && (w[(c-1)/8]>>((c-1)%8))&1 == 0 && (w[(c+1)/8]>>((c+1)%8))&1 == 0 {
			w[c/8] |= 1 << (c % 8)
			list = append(list, run{int64(len(list)), c, 1})
			off, _ := f.bitmap.offset(c / 8)
			v.data[off] |= 1 << (c % 8)
		}
	}
	return list
}

// scatterBitmap moves $Bitmap to clusters far from each other. Where split is
// set, the second half of its runs goes into MFT record 13, and an attribute
// list leads there.
func (v *volumeFile) scatterBitmap(split bool) {
	f := v.open()
	n, size, cluster := f.bitmap.next, f.bitmap.size, f.boot.cluster
	runs := v.scatter(n)
	content := make([]byte, n*cluster)
	if err := v.open().bitmap.readAt(content[:size], 0); err != nil {
		v.t.Fatal(err)
	}
	for _, r := range f.bitmap.runs { // what $Bitmap leaves is free
		for c := r.lcn; c < r.lcn+r.length; c++ {
			content[c/8] &^= 1 << (c % 8)
		}
	}
	for i, r := range runs {
		copy(v.data[r.lcn*cluster:][:cluster], content[int64(i)*cluster:])
	}
	if !split {
		v.change(recordBitmap, func(rec record) { replace(rec, nonResident(50, 0, runs, size, cluster)) })
		return
	}
	const other = 13 // kept free by mkntfs, in use, and without attributes that matter
	half := n / 2
	var sequence uint16
	v.change(other, func(rec record) {
		sequence = rec.sequence()
		le.PutUint64(rec.data[0x20:], recordBitmap|recordBitmap<<48)
		le.PutUint16(rec.data[0x12:], 0) // links
		clear(rec.data[0x38:])
		copy(rec.data[le.Uint16(rec.data[0x14:]):], "\xFF\xFF\xFF\xFF")
		le.PutUint32(rec.data[0x18:], uint32(le.Uint16(rec.data[0x14:]))+8)
		replace(rec, nonResident(7, half, runs[half:], size, cluster))
	})
	v.change(recordBitmap, func(rec record) {
		var entries []byte
		add := func(kind uint32, vcn int64, holder uint64, number uint16) {
			e := make([]byte, 0x20)
			le.PutUint32(e, kind)
			le.PutUint16(e[4:], 0x20)
			e[7] = 0x1A
			le.PutUint64(e[8:], uint64(vcn))
			le.PutUint64(e[0x10:], holder)
			le.PutUint16(e[0x18:], number)
			entries = append(entries, e...)
		}
		rec.attributes(func(a attribute) bool {
			if a.kind() != attrData {
				add(a.kind(), 0, recordBitmap|uint64(rec.sequence())<<48, le.Uint16(a[0x0E:]))
			}
			return true
		})
		add(attrData, 0, recordBitmap|uint64(rec.sequence())<<48, 50)
		add(attrData, half, other|uint64(sequence)<<48, 7)
		list := make([]byte, 0x18, 0x18+len(entries))
		le.PutUint32(list, attrAttributeList)
		le.PutUint32(list[4:], uint32(0x18+len(entries)))
		le.PutUint16(list[0x0E:], 51)
		le.PutUint32(list[0x10:], uint32(len(entries)))
		le.PutUint16(list[0x14:], 0x18)
		replace(rec, append(list, entries...), nonResident(50, 0, runs[:half], size, cluster))
	})
}

// TestFragmentedBitmap scatters $Bitmap by hand, since no tool does; ntfs-3g
// judges whether that was right, and writes to it.
func TestFragmentedBitmap(t *testing.T) {
	for _, split := range []bool{false, true} {
		t.Run(fmt.Sprintf("attribute list %v", split), func(t *testing.T) {
			path := makeVolume(t, 80<<20, "-c 512")
			v := load(t, path)
			v.scatterBitmap(split)
			v.save(path)
			dir, unmount := mount(t, path, "")
			churn(t, dir, 20000)
			unmount()
			f, file := openFile(t, path)
			if len(f.bitmap.runs) != 40 {
				t.Fatalf("$Bitmap is in %d pieces", len(f.bitmap.runs))
			}
			list := allocation(t, f)
			if want := used(t, path)*f.boot.cluster + extent.Total(f.tail); f.info.Used != want || extent.Total(list) != want {
				t.Errorf("%d bytes in use, extents hold %d, ntfsinfo says %d", f.info.Used, extent.Total(list), want)
			}
			sameFiles(t, path, file, list)
		})
	}
}

// TestFragmentedMFT fills a volume and makes holes, so that ntfs-3g puts $MFT
// into so many pieces that its runs need several records.
func TestFragmentedMFT(t *testing.T) {
	path := makeVolume(t, 9<<20, "-c 512")
	dir, unmount := mount(t, path, "")
	two := make([]byte, 1024)
	name := func(kind string, i int) string { return filepath.Join(dir, fmt.Sprint("d", i%9), fmt.Sprint(kind, i)) }
	for i := range 9 {
		os.Mkdir(filepath.Join(dir, fmt.Sprint("d", i)), 0o755)
	}
	n := 0
	for ; n < 20000; n++ {
		if err := os.WriteFile(name("a", n), append(two, byte(n), byte(n>>8)), 0o644); err != nil {
			break
		}
	}
	for i := 0; i < n; i += 2 {
		os.Truncate(name("a", i), 0)
	}
	made := 0
	for ; made < 3000; made++ {
		if os.WriteFile(name("b", made), []byte(fmt.Sprint("resident ", made)), 0o644) != nil {
			break
		}
	}
	unmount()
	f, file := openFile(t, path)
	rec, err := f.readRecord(recordMFT)
	if err != nil {
		t.Fatal(err)
	}
	list, err := rec.find(attrAttributeList, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("$MFT is in %d pieces, attribute list: %v, after %d and %d files", len(f.mft.runs), list != nil, n, made)
	if len(f.mft.runs) < 100 || list == nil {
		t.Error("$MFT is not in enough pieces")
	}
	everyCluster(t, f)
	sameFiles(t, path, file, allocation(t, f))
}

// TestStaleBitmap clears bits of clusters in use, as after a power cut: the
// runs of the records still keep every file.
func TestStaleBitmap(t *testing.T) {
	path := makeVolume(t, 16<<20, "-c 1024")
	dir, unmount := mount(t, path, "")
	churn(t, dir, 20000)
	unmount()
	whole, file := openFile(t, path)
	want := allocation(t, whole)
	v := load(t, path)
	for c := range whole.boot.clusters {
		fixed := c == 0 || c == whole.boot.mft || slices.ContainsFunc(whole.bitmap.runs, func(r run) bool { return c >= r.lcn && c < r.lcn+r.length })
		if c%3 != 0 && !fixed {
			off, _ := whole.bitmap.offset(c / 8)
			v.data[off] &^= 1 << (c % 8)
		}
	}
	v.change(recordVolume, func(rec record) {
		a, err := rec.find(attrVolumeInformation, "")
		if err != nil {
			t.Fatal(err)
		}
		a.value()[10] |= flagDirty
	})
	f := v.open()
	if f.info.State != filesystem.Dirty {
		t.Errorf("state %q", f.info.State)
	}
	list := allocation(t, f)
	if total, before := extent.Total(list), extent.Total(want); total != before {
		t.Errorf("%d bytes in use, %d with a whole $Bitmap", total, before)
	}
	sameFiles(t, path, file, list)
}

// TestWhileMounted copies a volume while ntfs-3g has it open, and takes the
// process away: nothing that reached the volume is lost.
func TestWhileMounted(t *testing.T) {
	path := makeVolume(t, 24<<20, "")
	dir, unmount := mount(t, path, "")
	churn(t, dir, 30000)
	cut := filepath.Join(t.TempDir(), "cut")
	load(t, path).save(cut)
	unmount()
	f, file := openFile(t, cut)
	if f.info.State == filesystem.Hibernated || f.info.State == filesystem.Recovery {
		t.Errorf("state %q", f.info.State)
	}
	sameFiles(t, cut, file, allocation(t, f))
}
