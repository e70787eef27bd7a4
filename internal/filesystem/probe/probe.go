// Package probe names what lies on a volume: an ordered list of formats, each
// a small function, raw last. It reads a few sectors and leaves files, bitmaps
// and everything else to the readers; partition tables belong to package
// partition.
//
// Types, labels and UUIDs are those that blkid prints. Offsets come from the
// kernel's documentation, the published specifications of the formats, and
// samples made with their own tools.
package probe

import (
	"cmp"
	"io"
	"slices"
	"strings"

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

// format is one entry of the list.
type format struct {
	find func(v *volume) *found // nil where the volume holds something else
	// outer formats contain others on purpose: what shows through them is
	// theirs, and no ambiguity.
	outer bool
}

// found is what a format says of a volume.
type found struct {
	info       filesystem.Info
	signatures []Signature
	fs         filesystem.FileSystem
	reason     string // why raw; "" stands for "no reader for TYPE"
}

// formats is the list, containers first.
func formats() []format {
	return []format{
		{mdMember, true},
		{biosRAID, true},
		{luks, true},
		{bitlocker, true},
		{lvm2, true},
		{bcache, true},
		{zfs, true},
		{vmfs, true},
		{swap, false},
		{extX, false},
		{xfsX, false},
		{btrfsX, false},
		{ntfsX, false},
		{exFAT, false},
		{vfat, false},
		{f2fsX, false},
		{hfs, false},
		{apfsX, false},
		{ufsX, false},
		{jfs, false},
		{reiserfs, false},
		{nilfs2, false},
		{minix, false},
		{squashfs, false},
		{erofs, false},
		{udf, true}, // most UDF discs are ISO 9660 discs too
		{iso9660, false},
	}
}

// Probe names what lies on a volume of size bytes. It returns an error only
// when reading fails.
func Probe(r io.ReaderAt, size int64) (Result, error) {
	v := &volume{r: r, size: size}
	var outer, inner []*found
	for _, f := range formats() {
		switch hit := f.find(v); {
		case v.err != nil:
			return Result{}, v.err
		case hit == nil:
		case f.outer:
			outer = append(outer, hit)
		default:
			inner = append(inner, hit)
		}
	}
	return decide(outer, inner), nil
}

// decide makes one answer of all hits.
func decide(outer, inner []*found) Result {
	hits := inner
	if len(outer) > 0 {
		hits = outer
	}
	switch len(hits) {
	case 0:
		return Result{Reason: "nothing is recognised"}
	case 1:
		return hits[0].result()
	}
	var names []string
	for _, h := range hits {
		if !slices.Contains(names, h.info.Type) {
			names = append(names, h.info.Type)
		}
	}
	if len(names) == 1 {
		return hits[0].result()
	}
	return Result{Ambiguous: names, Reason: "looks like several formats: " + strings.Join(names, ", ")}
}

func (h *found) result() Result {
	res := Result{Info: h.info, FileSystem: h.fs, Reason: h.reason}
	if h.fs == nil && h.reason == "" {
		res.Reason = "no reader for " + h.info.Type
	}
	return res
}

// Signatures gives all signatures that are present, those at the end of the
// volume included, ascending by Offset. Partition tables are not among them.
func Signatures(r io.ReaderAt, size int64) ([]Signature, error) {
	v := &volume{r: r, size: size}
	var all []Signature
	for _, f := range formats() {
		hit := f.find(v)
		if v.err != nil {
			return nil, v.err
		}
		if hit != nil {
			all = append(all, hit.signatures...)
		}
	}
	slices.SortFunc(all, func(a, b Signature) int { return cmp.Compare(a.Offset, b.Offset) })
	return all, nil
}
