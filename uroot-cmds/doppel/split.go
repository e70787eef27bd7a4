package main

import (
	"math"
	"strconv"
	"strings"
)

// splitSize is the option that says how long the files of an image may get.
type splitSize struct {
	bytes int64
	set   bool
}

// minSplit is more than any frame of a volume takes.
const minSplit = 2_000_000 // bytes

func (s *splitSize) String() string { return strconv.FormatInt(s.bytes, 10) }

// Set takes a number of bytes, with K, M, G or T for powers of 1000, and KiB,
// MiB, GiB or TiB for those of 1024; "none" is no limit.
func (s *splitSize) Set(text string) error {
	if s.set = true; text == "none" {
		s.bytes = 0
		return nil
	}
	digits := strings.TrimRight(text, "KMGTkmgtiBb")
	unit := strings.ToUpper(text[len(digits):])
	factor, ok := map[string]int64{
		"": 1, "B": 1, "K": 1e3, "KB": 1e3, "M": 1e6, "MB": 1e6, "G": 1e9, "GB": 1e9, "T": 1e12, "TB": 1e12,
		"KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40,
	}[unit]
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || !ok || n < 1 || n > math.MaxInt64/factor || n*factor < minSplit {
		return misuse("--split takes a size of at least 2M, such as 4G or 2000M, or none")
	}
	s.bytes = n * factor
	return nil
}
