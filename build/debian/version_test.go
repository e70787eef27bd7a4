package debian

import (
	"errors"
	"os/exec"
	"testing"
)

func TestCompare(t *testing.T) {
	ascending := []string{
		"~~", "~~a", "~", "0~rc1-1", "0", "1.0~beta1", "1.0", "1.0-0.1", "1.0-1",
		"1.0-1+deb13u1", "1.0-1+deb13u2", "1.0-1+deb13u10", "1.0a", "1.0+b1", "1.0.1",
		"1.2", "1.10", "1.10-1~bpo13+1", "1.10-1", "2.12-9+deb13u2", "6.12.107-1", "6.12.117-1",
		"1:0.1", "1:2.12+9", "2:1",
	}
	for i, a := range ascending {
		for j, b := range ascending {
			got := Compare(a, b)
			if (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("Compare(%q, %q) = %d", a, b, got)
			}
		}
	}
	for _, pair := range [][2]string{{"0:1.0", "1.0"}, {"1.0-0", "1.0"}, {"1.00", "1.0"}, {"1.0-01", "1.0-1"}} {
		if got := Compare(pair[0], pair[1]); got != 0 {
			t.Errorf("Compare(%q, %q) = %d, want 0", pair[0], pair[1], got)
		}
	}
}

// dpkg is the judge.
func FuzzCompare(f *testing.F) {
	dpkg, err := exec.LookPath("dpkg")
	if err != nil {
		f.Skip("no dpkg here")
	}
	f.Add("1:2.12-9+deb13u2", "2.12-9+deb13u10")
	f.Add("1.0~rc1", "1.0")
	f.Add("1.51~1+deb13u1+16.1-2~deb13u1", "1.51")
	f.Add("2-", "2-0a")
	f.Fuzz(func(t *testing.T, a, b string) {
		if exec.Command(dpkg, "--validate-version", a).Run() != nil ||
			exec.Command(dpkg, "--validate-version", b).Run() != nil {
			t.Skip()
		}
		var exit *exec.ExitError
		err := exec.Command(dpkg, "--compare-versions", a, "lt", b).Run()
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		if got := Compare(a, b); (got < 0) != (err == nil) {
			t.Errorf("Compare(%q, %q) = %d, dpkg says less: %v", a, b, got, err == nil)
		}
	})
}
