// Package extent holds byte ranges and the arithmetic on ascending lists of
// them: validate, align, invert, merge. It knows nothing of devices or file
// systems.
package extent

// Extent is a byte range of a volume or device: [Offset, Offset+Length).
type Extent struct {
	Offset int64 // bytes
	Length int64 // bytes, > 0 in a valid list
}

// End is the first byte behind the extent.
func (e Extent) End() int64 { return e.Offset + e.Length }
