package engine

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
)

// swapPage is the page size that a swap area is made for; x86-64 has no other.
const swapPage = 4096

// swapHeader makes the first page of a swap area of size bytes, version 1, as
// the kernel's include/linux/swap.h lays it out:
//
//	offset  length
//	0       1024    boot code, zero
//	1024    4       version, 1
//	1028    4       last page
//	1032    4       number of bad pages, 0
//	1036    16      UUID
//	1052    16      label
//	4086    10      "SWAPSPACE2"
func swapHeader(size int64, uuid, label string) ([]byte, error) {
	pages := size / swapPage
	if pages < 10 {
		return nil, fmt.Errorf("swap area of %d bytes is too small", size)
	}
	b := make([]byte, swapPage)
	binary.LittleEndian.PutUint32(b[1024:], 1)
	binary.LittleEndian.PutUint32(b[1028:], uint32(min(pages-1, 1<<32-1)))
	id, err := hex.DecodeString(strings.ReplaceAll(uuid, "-", ""))
	if err != nil || len(id) != 16 && len(id) != 0 {
		return nil, fmt.Errorf("swap area with the UUID %q", uuid)
	}
	copy(b[1036:1052], id)
	if len(label) > 16 {
		return nil, fmt.Errorf("swap area with the label %q of more than 16 bytes", label)
	}
	copy(b[1052:1068], label)
	copy(b[swapPage-10:], "SWAPSPACE2")
	return b, nil
}
