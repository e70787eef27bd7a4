//go:build !checked && (amd64 || arm64)

package pack

import "unsafe"

// load64 and load32 give the 8 and 4 bytes at b[i:], the first one the lowest.
// Whoever calls them keeps within b: to check that would take a fifth of the
// time of packing. With the build tag checked it is checked.
func load64(b []byte, i int) uint64 {
	return *(*uint64)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(b)), i))
}

func load32(b []byte, i int) uint32 {
	return *(*uint32)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(b)), i))
}
