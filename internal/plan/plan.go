// Package plan says what a job will do before it does it: which volumes a save
// takes and what they need, and what a restore writes where on its target. A
// plan is made from descriptions only; it opens no device, writes nothing, and
// refuses what cannot end well.
package plan

import (
	"fmt"
	"strings"

	"doppel.live/internal/blockdev"
	"doppel.live/internal/image"
)

// Device is a source or target as a person recognises it.
type Device struct {
	Path     string `json:"path"`
	Model    string `json:"model"`
	Serial   string `json:"serial"`
	Size     int64  `json:"size"` // bytes
	Contents string `json:"contents"`
}

// Step is what happens to one volume.
type Step struct {
	Volume       string       `json:"volume"`
	FileSystem   string       `json:"file_system"`
	Method       image.Method `json:"method"`
	TargetOffset int64        `json:"target_offset"` // bytes; restore only
	Size         int64        `json:"size"`          // bytes of the volume
	Bytes        int64        `json:"bytes"`         // bytes that are read or written
	Reason       string       `json:"reason,omitempty"`

	Index int   `json:"-"` // of the volume in the image
	Room  int64 `json:"-"` // bytes of its place on the target, at least Size; restore only
}

// Confirm is what a person types before a target is overwritten.
type Confirm struct {
	Ask    string `json:"ask"`    // what is asked for
	Expect string `json:"expect"` // what must be typed
}

// confirmLength is how many characters of a serial number are asked for where
// that tells the disks apart.
const confirmLength = 4

// NewConfirm asks for the end of the serial number: four characters, or as
// many as no other disk of the machine ends with.
func NewConfirm(serial string, others []string) Confirm {
	if strings.TrimSpace(serial) == "" {
		return Confirm{Ask: "the word YES (this target has no serial number)", Expect: "YES"}
	}
	n := min(confirmLength, len(serial))
	for n < len(serial) && shared(serial[len(serial)-n:], others) {
		n++
	}
	if n == len(serial) {
		return Confirm{Ask: "the whole serial number", Expect: serial}
	}
	return Confirm{Ask: fmt.Sprintf("the last %d characters of the serial number", n), Expect: serial[len(serial)-n:]}
}

func shared(end string, others []string) bool {
	for _, o := range others {
		if strings.HasSuffix(strings.ToUpper(o), strings.ToUpper(end)) {
			return true
		}
	}
	return false
}

// Agrees says whether what was typed is what was asked for.
func (c Confirm) Agrees(typed string) bool {
	return strings.EqualFold(strings.TrimSpace(typed), c.Expect) && c.Expect != ""
}

// sizes writes a number of bytes exactly and as people read it.
func sizes(n int64) string {
	if n < 1000 {
		return blockdev.Bytes(n)
	}
	return fmt.Sprintf("%s (%d bytes)", blockdev.Bytes(n), n)
}

// seconds estimates the time for n bytes at a rate of bytes per second.
func seconds(n int64, rate float64) int64 {
	if rate <= 0 {
		return 0
	}
	return int64(float64(n)/rate) + 1
}

// unknown gives the first of names that is not known, or "".
func unknown(names []string, known map[string]bool) string {
	for _, n := range names {
		if !known[n] {
			return n
		}
	}
	return ""
}
