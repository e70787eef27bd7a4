package place

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// StickLabel is the label of the file system that keeps images on the stick
// that the live system was started from.
const StickLabel = "IMAGES"

// Stick calls visit with the root folder of that file system, mounted for
// writing. Where there is none visit is not called.
func (s System) Stick(visit func(root string) error) error {
	list, err := s.disks()
	if err != nil {
		return err
	}
	for _, p := range list {
		if !p.BootMedium || p.Spec == Boot || p.Label != StickLabel || p.ReadOnly && !p.Current || p.Problem != "" {
			continue
		}
		if dir := s.mountedAt(p.Path); dir != "" {
			return visit(dir)
		}
		root, advice, err := s.mount(p)
		if err != nil {
			return fmt.Errorf("the stick that was started from: %w", err)
		}
		defer root.Close()
		if advice != "" {
			return &Error{What: "the stick that was started from cannot be written", Next: advice}
		}
		return visit(procPath(root))
	}
	return nil
}

// mountedAt gives where a device is mounted as a whole file system, or "".
func (s System) mountedAt(device string) string {
	text, err := os.ReadFile(s.path("proc/self/mountinfo"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		dash := slices.Index(f, "-")
		if dash >= 6 && len(f) >= dash+3 && f[3] == "/" && unescape(f[dash+2]) == device {
			return unescape(f[4])
		}
	}
	return ""
}
