// Package probe names what lies on a volume: an ordered list of formats, raw
// last. It reads a few sectors and leaves everything else to the readers.
package probe

import (
	"errors"
	"io"

	"doppel.live/internal/filesystem"
)

// Result is what a volume holds.
type Result struct {
	Info       filesystem.Info       // Info.Type is "" when nothing is recognised
	FileSystem filesystem.FileSystem // nil: save raw (or, for swap, the header only)
	Reason     string                // why raw, one sentence; "" when FileSystem is set
	Ambiguous  []string              // every format whose magic was seen when more than one fits; then FileSystem is nil
}

// Signature is a run of bytes that makes programs recognise a format;
// overwritten, they no longer do.
type Signature struct {
	Type   string // as Result.Info.Type
	Offset int64  // bytes from the start of the volume
	Length int64  // bytes
}

// Probe names what lies on a volume of size bytes. It returns an error only
// when reading fails.
func Probe(r io.ReaderAt, size int64) (Result, error) {
	return Result{}, errors.New("probe: not written yet")
}

// Signatures gives all signatures that are present, those at the end of the
// volume included, ascending by Offset. Partition tables are not among them.
func Signatures(r io.ReaderAt, size int64) ([]Signature, error) {
	return nil, errors.New("probe: not written yet")
}
