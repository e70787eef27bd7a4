package rescue

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"doppel.live/internal/extent"
)

// The example of FORMAT.md.
func TestMapExample(t *testing.T) {
	m := NewMap(1 << 20)
	m.Set(extent.Extent{Length: 0x2000}, Finished)
	m.Set(extent.Extent{Offset: 0x2000, Length: 0x200}, Bad)
	m.pos, m.phase = 0x2000, Bad
	const want = `# Mapfile. Created by doppel 0.1
# current_pos  current_status  current_pass
0x00002000     -               1
#      pos        size  status
0x00000000  0x00002000  +
0x00002000  0x00000200  -
0x00002200  0x000FDE00  ?
`
	if got := string(m.Encode("doppel 0.1")); got != want {
		t.Errorf("got\n%s", got)
	}
}

// Any order of changes gives what an array of bytes gives, and the file says
// the same.
func TestMapSet(t *testing.T) {
	const size = 60
	r := rand.New(rand.NewPCG(1, 2))
	states := []Status{NonTried, NonTrimmed, NonScraped, Bad, Finished}
	for range 200 {
		m, plain := NewMap(size), bytes.Repeat([]byte{'?'}, size)
		for range 30 {
			from, n, s := r.Int64N(size), r.Int64N(12), states[r.IntN(len(states))]
			m.Set(extent.Extent{Offset: from, Length: n}, s)
			for i := from; i < min(from+n, size); i++ {
				plain[i] = byte(s)
			}
			again, err := ParseMap(m.Encode("x"), size)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range []*Map{m, again} {
				for i := range int64(size) {
					if s, _ := m.At(i); byte(s) != plain[i] {
						t.Fatalf("byte %d is %c, want %c: %v", i, s, plain[i], m.blocks)
					}
				}
				for i := 1; i < len(m.blocks); i++ {
					if m.blocks[i].status == m.blocks[i-1].status || m.blocks[i].offset <= m.blocks[i-1].offset {
						t.Fatalf("blocks %v", m.blocks)
					}
				}
			}
		}
	}
}

// A map that GNU ddrescue wrote is read, and ddrescue goes on with ours.
func TestMapOfDdrescue(t *testing.T) {
	ddrescue, err := exec.LookPath("ddrescue")
	if err != nil {
		t.Skip("needs ddrescue")
	}
	dir := t.TempDir()
	in, out, file := filepath.Join(dir, "in"), filepath.Join(dir, "out"), filepath.Join(dir, "map")
	data := make([]byte, mib)
	rand.NewChaCha8([32]byte{7}).Read(data)
	if err := os.WriteFile(in, data, 0o644); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(ddrescue, args...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	run("-q", "-i", "4096", "-s", "8192", in, out, file)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m, err := ParseMap(text, mib)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if got := m.Extents([]extent.Extent{{Length: mib}}, Finished); len(got) != 1 || got[0] != (extent.Extent{Offset: 4096, Length: 8192}) {
		t.Fatalf("%v\n%s", got, text)
	}
	m.Set(extent.Extent{Offset: 65536, Length: 131072}, Finished) // and yet it is not in out
	os.WriteFile(file, m.Encode("doppel"), 0o644)
	run("-q", in, out, file)
	got, err := os.ReadFile(out)
	copy(data[65536:196608], make([]byte, 131072))
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("ddrescue did not read exactly what our map says is missing: %v", err)
	}
}

func FuzzMap(f *testing.F) {
	m := NewMap(mib)
	m.Set(extent.Extent{Offset: 512, Length: 1024}, Bad)
	f.Add(m.Encode("doppel"), int64(mib))
	f.Add([]byte("# x\n0 ?\n0 0x10 +\n16 3 -\n"), int64(20))
	f.Add([]byte("0 F 1\n0 010 *\n"), int64(8))
	f.Fuzz(func(t *testing.T, data []byte, size int64) {
		if size < 0 || size > 1<<50 {
			return
		}
		m, err := ParseMap(data, size)
		if err != nil {
			return
		}
		again, err := ParseMap(m.Encode("x"), size)
		if err != nil || !bytes.Equal(again.Encode("x"), m.Encode("x")) {
			t.Fatalf("%v: %q", err, m.Encode("x"))
		}
		var total int64
		for _, s := range []Status{NonTried, NonTrimmed, NonScraped, Bad, Finished} {
			total += extent.Total(m.Extents([]extent.Extent{{Length: size}}, s))
		}
		if total != size {
			t.Fatalf("the states cover %d of %d", total, size)
		}
	})
}
