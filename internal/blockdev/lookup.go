package blockdev

import (
	"fmt"
	"os"
	"strings"
)

// Lookup finds the path of the device that spec names: a path, a kernel name
// (sda), serial:NUMBER or wwn:NAME. More than one answer is an error that
// names them all.
func Lookup(spec string) (string, error) { return System{}.Lookup(spec) }

// Lookup is Lookup of that system.
func (s System) Lookup(spec string) (string, error) {
	kind, value, ok := strings.Cut(spec, ":")
	if ok && (kind == "serial" || kind == "wwn") {
		disks, err := s.List()
		if err != nil {
			return "", err
		}
		var found []string
		for _, d := range disks {
			if kind == "serial" && strings.EqualFold(d.Serial, value) || kind == "wwn" && sameWWN(d.WWN, value) {
				found = append(found, fmt.Sprintf("%s (%s, %s)", d.Path, d.Model, Bytes(d.Size)))
			}
		}
		return One(spec, found)
	}
	if !strings.Contains(spec, "/") {
		if _, err := os.Stat(s.path("sys/class/block", spec)); err == nil {
			return s.devicePath(spec), nil
		}
	}
	if _, err := os.Stat(spec); err != nil {
		return "", fmt.Errorf("there is no disk, partition or file %q: see doppel disks", spec)
	}
	return spec, nil
}

// One gives the path of the only candidate of a lookup. A candidate is a path
// with, perhaps, a description in parentheses behind it.
func One(spec string, candidates []string) (string, error) {
	switch len(candidates) {
	case 0:
		return "", fmt.Errorf("nothing here answers to %q: see doppel disks", spec)
	case 1:
		path, _, _ := strings.Cut(candidates[0], " (")
		return path, nil
	}
	return "", fmt.Errorf("%q is ambiguous: %s; name one of them", spec, strings.Join(candidates, ", "))
}

// sameWWN compares world wide names whatever prefix they are written with:
// naa.5000c500a1b2c3d4 and 0x5000c500a1b2c3d4.
func sameWWN(have, want string) bool {
	strip := func(t string) string {
		t = strings.ToLower(t)
		for _, p := range []string{"naa.", "eui.", "0x"} {
			t = strings.TrimPrefix(t, p)
		}
		return t
	}
	return have != "" && strip(have) == strip(want)
}
