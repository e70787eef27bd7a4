package tui

import (
	"fmt"
	"math"
	"time"
)

// size writes a number of bytes in the units that disks are sold in: 500107862016
// is "500.1 GB".
func size(n int64) string {
	if n < 0 {
		return "?"
	}
	units := []string{"bytes", "kB", "MB", "GB", "TB", "PB", "EB"}
	v, i := float64(n), 0
	for v >= 999.95 && i < len(units)-1 {
		v /= 1000
		i++
	}
	if i == 0 {
		return fmt.Sprintf("%d %s", n, units[0])
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}

// clock writes seconds as hours, minutes and seconds: 3725 is "1:02:05".
func clock(seconds float64) string {
	if math.IsNaN(seconds) || seconds < 0 || seconds > 1000*3600 {
		return "?"
	}
	d := time.Duration(seconds+0.5) * time.Second
	h, m, s := int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60
	if h > 0 {
		return fmt.Sprintf("%d:%02d:%02d", h, m, s)
	}
	return fmt.Sprintf("%d:%02d", m, s)
}

// fraction is done of total, between 0 and 1.
func fraction(done, total int64) float64 {
	if total <= 0 || done <= 0 {
		return 0
	}
	return min(float64(done)/float64(total), 1)
}
