package place

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"doppel.live/internal/blockdev"
	"doppel.live/internal/stick"
)

// Stick calls visit with the root folder of the images partition of the stick
// that the live system was started from, mounted for writing. Where there is
// none, or the medium may be taken out, visit is not called. Which file system
// it has and what that is called is its owner's choice: one that was there
// before is used as it is.
func (s System) Stick(visit func(root string) error) error {
	if s.toRAM() {
		return nil
	}
	list, err := s.disks()
	if err != nil {
		return err
	}
	var found []Place
	for _, p := range list {
		if p.BootMedium && p.Spec != Boot && s.isImages(p) {
			found = append(found, p)
		}
	}
	switch {
	case len(found) == 0:
		return nil
	case len(found) > 1:
		return &Error{What: "there are several media of this build, and it is not known which one was started from", Next: "Leave only that one plugged in."}
	}
	p := found[0]
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

// isImages tells whether a partition of the boot medium is the one for images.
func (s System) isImages(p Place) bool {
	name := filepath.Base(p.Path)
	disk, number := blockdev.System{Root: s.Root}.DiskOf(name)
	if number == 0 || p.Problem != "" || p.ReadOnly && !p.Current {
		return false
	}
	f, err := os.Open(s.node(disk))
	if err != nil {
		return false
	}
	defer f.Close()
	survey, err := stick.Look(f, s.device(disk).size)
	return err == nil && (survey.Do == stick.Use || survey.Do == stick.Repair) && survey.Images.Number == number
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
