package ntfs

import "errors"

var errPacked = errors.New("not LZNT1")

const chunkSize = 4096 // bytes that a chunk of LZNT1 unpacks to

// decompress unpacks LZNT1 into dst, and zeros where there is less of it, as
// [MS-XCA] section 2.5 has it. Every 4096 bytes are a chunk:
//
//	0   2  bits 0 to 11: bytes behind these two, less 1
//	       bits 12 to 14: 3
//	       bit 15: compressed; else the bytes follow as they are
//	       0 in all of it: the end
//	2      …
func decompress(dst, src []byte) error {
	clear(dst)
	for len(dst) > 0 && len(src) >= 2 {
		header := le.Uint16(src)
		if header == 0 {
			return nil
		}
		n := int(header&0xFFF) + 3
		if header>>12&7 != 3 || n > len(src) {
			return errPacked
		}
		chunk := dst[:min(chunkSize, len(dst))]
		if header>>15 == 0 {
			if n-2 > len(chunk) {
				return errPacked
			}
			copy(chunk, src[2:n])
		} else if err := unpackChunk(chunk, src[2:n]); err != nil {
			return err
		}
		dst, src = dst[len(chunk):], src[n:]
	}
	return nil
}

// unpackChunk unpacks the elements of a chunk. A byte comes before every eight
// of them; each of its bits, from the lowest on, says whether the element is a
// byte as it is (0) or a copy (1), of 16 bits: the distance back in the upper
// ones, less 1, and the length in the lower ones, less 3. The more there is to
// go back to, the more bits has the distance.
//
//	at byte 1 to 16: 4 bits, and 12 for the length; 17 to 32: 5 and 11; 33 to 64: 6 …
func unpackChunk(dst, src []byte) error {
	at := 0
	for len(src) > 0 {
		flags := src[0]
		src = src[1:]
		for range 8 {
			if len(src) == 0 {
				break
			}
			if flags&1 == 0 {
				if at == len(dst) {
					return errPacked
				}
				dst[at] = src[0]
				at, src = at+1, src[1:]
			} else {
				if len(src) < 2 || at == 0 {
					return errPacked
				}
				bits := 12
				for n := at - 1; n >= 16; n >>= 1 {
					bits--
				}
				token := int(le.Uint16(src))
				back, n := token>>bits+1, token&(1<<bits-1)+3
				if back > at || n > len(dst)-at {
					return errPacked
				}
				for range n { // what it copies may be what it just wrote
					dst[at] = dst[at-back]
					at++
				}
				src = src[2:]
			}
			flags >>= 1
		}
	}
	return nil
}
