package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
)

// Set is the plan for several targets that are written with one reading.
type Set struct {
	Image    string     `json:"image"`
	Source   *Device    `json:"source,omitempty"`
	Consent  string     `json:"consent"` // for --consent: to all targets; "" where a plan refuses
	Targets  []*Restore `json:"targets"`
	Bytes    int64      `json:"bytes"`   // that each target takes
	Seconds  int64      `json:"seconds"` // of the slowest; 0 unknown
	Refusals []string   `json:"refusals"`
	Warnings []string   `json:"warnings"`
}

// NewSet joins plans of the same volumes, at least one.
func NewSet(plans []*Restore) *Set {
	s := &Set{Image: plans[0].Image, Source: plans[0].Source, Targets: plans, Bytes: plans[0].Bytes, Refusals: []string{}, Warnings: []string{}}
	var codes []string
	for _, p := range plans {
		for _, r := range p.Refusals {
			s.Refusals = append(s.Refusals, p.Target.Path+": "+r)
		}
		for _, w := range p.Warnings {
			if text := p.Target.Path + ": " + w; !slices.Contains(s.Warnings, text) {
				s.Warnings = append(s.Warnings, text)
			}
		}
		s.Seconds = max(s.Seconds, p.Seconds)
		codes = append(codes, p.Consent)
	}
	if len(s.Refusals) == 0 {
		sum := sha256.Sum256(fmt.Append(nil, codes))
		s.Consent = hex.EncodeToString(sum[:])[:12]
	}
	return s
}
