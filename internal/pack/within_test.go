//go:build !checked

package pack

import (
	"os/exec"
	"testing"
)

// No load goes beyond the input: the same tests with all of them checked.
func TestLoadsAreWithin(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("needs go") // go test has it; a test that was copied elsewhere may not
	}
	if out, err := exec.Command("go", "test", "-tags", "checked", ".").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
