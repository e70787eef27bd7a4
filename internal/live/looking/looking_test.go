package looking

import (
	"path/filepath"
	"testing"
	"time"
)

func TestWait(t *testing.T) {
	name := filepath.Join(t.TempDir(), "looking")
	took := func(limit time.Duration) time.Duration {
		start := time.Now()
		wait(t.Context(), name, limit)
		return time.Since(start)
	}
	if d := took(time.Minute); d > time.Second {
		t.Errorf("nobody looks, and yet it waited %v", d)
	}
	end, err := begin(name)
	if err != nil {
		t.Fatal(err)
	}
	if d := took(200 * time.Millisecond); d < 200*time.Millisecond {
		t.Errorf("waited only %v", d)
	}
	time.AfterFunc(200*time.Millisecond, end)
	if d := took(time.Minute); d < 150*time.Millisecond || d > 10*time.Second {
		t.Errorf("waited %v for the end after 200ms", d)
	}
}
