package extent

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"sort"
)

// Validate says whether list is ascending and disjoint, every extent longer
// than 0 bytes and within [0, size).
func Validate(list []Extent, size int64) error {
	var last int64 // end of the extent before
	for i, e := range list {
		switch {
		case e.Length <= 0:
			return fmt.Errorf("extent %d at %d is %d bytes long", i, e.Offset, e.Length)
		case e.Offset < last:
			return fmt.Errorf("extent %d at %d begins before %d, the end of the one before", i, e.Offset, last)
		case e.Length > size-e.Offset:
			return fmt.Errorf("extent %d at %d, %d bytes long, leaves the %d bytes there are", i, e.Offset, e.Length, size)
		}
		last = e.End()
	}
	return nil
}

// Merge joins extents that touch or overlap. The input is ascending by Offset
// and is left as it is.
//
//	{0,4} {4,4} {10,2}  →  {0,8} {10,2}
func Merge(list []Extent) []Extent {
	var out []Extent
	for _, e := range list {
		out = Append(out, e)
	}
	return out
}

// Append adds e to an ascending list, joined with the last extent where they
// touch or overlap. An extent of no length changes nothing.
func Append(list []Extent, e Extent) []Extent {
	if e.Length <= 0 {
		return list
	}
	if n := len(list); n > 0 && e.Offset <= list[n-1].End() {
		if e.End() > list[n-1].End() {
			list[n-1].Length = e.End() - list[n-1].Offset
		}
		return list
	}
	return append(list, e)
}

// Align grows every extent to whole blocks counted from 0, cuts the list at
// size and merges it. The input is ascending.
//
//	block 4, size 10: {1,2} {5,1} {9,1}  →  {0,8} {8,2}, merged {0,10}
func Align(list []Extent, block, size int64) []Extent {
	var out []Extent
	for _, e := range list {
		start := max(e.Offset, 0)
		start -= start % block
		end := min(e.End(), size)
		if rest := end % block; rest != 0 {
			end = min(size, end+(block-rest))
		}
		if end > start {
			out = Append(out, Extent{start, end - start})
		}
	}
	return out
}

// Invert gives what a valid list leaves of [0, size).
func Invert(list []Extent, size int64) []Extent {
	var out []Extent
	var last int64
	for _, e := range list {
		if e.Offset > last {
			out = append(out, Extent{last, e.Offset - last})
		}
		last = e.End()
	}
	if size > last {
		out = append(out, Extent{last, size - last})
	}
	return out
}

// Union gives every byte that any of the lists holds. The inputs may be in
// any order and overlap.
func Union(lists ...[]Extent) []Extent {
	all := slices.Concat(lists...)
	slices.SortFunc(all, func(a, b Extent) int { return cmp.Compare(a.Offset, b.Offset) })
	return Merge(all)
}

// From gives what a valid list has from an offset on: the first extent that ends
// behind it, and all that follow.
//
//	from 4: {0,4} {4,4} {10,2}  →  {4,4} {10,2}
func From(list []Extent, offset int64) []Extent {
	return list[sort.Search(len(list), func(i int) bool { return list[i].End() > offset }):]
}

// Total is the sum of the lengths, in bytes.
func Total(list []Extent) int64 {
	var sum int64
	for _, e := range list {
		sum += e.Length
	}
	return sum
}

// Collect gathers seq into a merged list. It stops at the first error.
func Collect(seq iter.Seq2[Extent, error]) ([]Extent, error) {
	var out []Extent
	for e, err := range seq {
		if err != nil {
			return nil, err
		}
		out = Append(out, e)
	}
	return out, nil
}
