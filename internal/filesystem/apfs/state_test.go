package apfs

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
)

// TestState puts older superblocks of a container made by macOS into block 0
// and tears the newest: apfsck is the judge of what is left.
//
//	block  0  4  6  8
//	       4  2  3  4   transaction
func TestState(t *testing.T) {
	path, _ := fixture(t, "macOS")
	whole := fstest.Load(t, path)
	super := func(n int) []byte { return whole[n*block : (n+1)*block] }
	torn := bytes.Clone(super(8))
	clear(torn[512:])
	for _, tt := range []struct {
		name         string
		zero, newest []byte // blocks 0 and 8
		state        filesystem.State
		xid          uint64
		want         string // error
	}{
		{"unmounted", super(0), super(8), filesystem.Clean, 4, ""},
		{"not unmounted", super(6), super(8), filesystem.Dirty, 4, ""},
		{"not unmounted for long", super(4), super(8), filesystem.Dirty, 4, ""},
		{"crashed in the first checkpoint", super(6), torn, filesystem.Clean, 3, ""},
		{"crashed in a later one", super(4), torn, filesystem.Dirty, 3, ""},
		{"newest damaged", super(0), torn, "", 0, "transaction 3, block 0 of 4"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := bytes.Clone(whole)
			copy(p, tt.zero)
			copy(p[8*block:], tt.newest)
			f, err := open(bytes.NewReader(p), int64(len(p)))
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error %v, want %q", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if f.info.State != tt.state || f.super.xid() != tt.xid {
				t.Errorf("%+v, transaction %d", f.info, f.super.xid())
			}
			changed := fstest.Volume(t, 0)
			if err := os.WriteFile(changed, p, 0o600); err != nil {
				t.Fatal(err)
			}
			out := judged(t, changed)
			if strings.Contains(out, "not supported") {
				t.Skipf("this apfsck is too old: %s", out)
			}
			if dirty := strings.Contains(out, "not unmounted cleanly"); dirty != (tt.state == filesystem.Dirty) || !dirty && out != "" {
				t.Errorf("%s, but apfsck says %q", tt.state, out)
			}
			opened, file := fstest.Open(t, changed, Open)
			if again := judged(t, fstest.CopyAllocated(t, file, fstest.Allocation(t, opened))); again != out {
				t.Errorf("of the copy apfsck says %q, before %q", again, out)
			}
		})
	}
}
