package partition

import "doppel.live/internal/extent"

const (
	maxPairs    = 1024 // partitions that are compared with each other
	maxWarnings = 32
)

// check looks for partitions that overlap, leave the disk or cover the table.
func (t *Table) check() {
	for i, p := range t.Partitions {
		if p.Size > t.DiskSize || p.Start > t.DiskSize-p.Size {
			t.contradict("partition %d ends at byte %d, behind the end of the disk", p.Number, p.End())
		}
		if t.covers(p) {
			t.contradict("partition %d covers sectors of the partition table", p.Number)
		}
		if i >= maxPairs {
			continue // hostile: a table of thousands of entries is compared in part
		}
		for _, q := range t.Partitions[:i] {
			if p.Start < q.End() && q.Start < p.End() && !p.Free && !q.Free && !nested(p, q) && !nested(q, p) {
				t.contradict("partitions %d and %d overlap", q.Number, p.Number)
			}
		}
	}
	if len(t.Partitions) > maxPairs {
		t.contradict("more than %d partitions", maxPairs)
	}
}

// covers says whether p lies on sectors of the table where none may. EBRs lie
// within the extended partition, disklabels and their boot code at the start
// of the first partition as a rule.
func (t *Table) covers(p Partition) bool {
	if p.Kept || p.Free {
		return false
	}
	for _, s := range t.Sectors {
		if s.Name != AreaEBR && s.Name != AreaBSDLabel && s.Name != AreaBSDBoot && p.Start < s.end() && s.Offset < p.End() {
			return true
		}
	}
	return false
}

// nested says whether p is a logical partition within the extended q, or lies
// in the slice q.
func nested(p, q Partition) bool {
	if !(q.Extended && p.Logical) && !(q.Slice && p.Parent == q.Number) {
		return false
	}
	return p.Start >= q.Start && p.End() <= q.End()
}

// Gap is what lies between the table and the first partition: boot loaders
// live there. On a GPT disk whose entry array was moved away from LBA 2 the
// gap holds that array too. Its length is 0 where there is no partition.
func (t *Table) Gap() extent.Extent {
	if len(t.Sectors) == 0 {
		return extent.Extent{}
	}
	var start int64
	for _, s := range t.Sectors {
		if s.Offset > start {
			break
		}
		start = max(start, s.end())
	}
	first := int64(-1)
	for _, p := range t.Partitions {
		if !p.Kept && !p.Free && (first < 0 || p.Start < first) {
			first = p.Start
		}
	}
	if first <= start {
		return extent.Extent{}
	}
	return extent.Extent{Offset: start, Length: min(first, t.DiskSize) - start}
}

// SliceGaps is what of each slice with a disklabel lies in none of its
// partitions and not in its boot area, ascending.
func (t *Table) SliceGaps() []extent.Extent {
	var gaps []extent.Extent
	for _, slice := range t.Partitions {
		if !slice.Slice || slice.End() > t.DiskSize {
			continue
		}
		var inside []extent.Extent
		for _, p := range t.Partitions {
			if p.Parent == slice.Number {
				inside = append(inside, extent.Extent{Offset: p.Start, Length: p.Size})
			}
		}
		at := slice.Start + t.bootArea(slice.Size)
		for _, e := range append(sorted(inside), extent.Extent{Offset: slice.End()}) {
			if e.Offset > at {
				gaps = append(gaps, extent.Extent{Offset: at, Length: e.Offset - at})
			}
			at = max(at, e.End())
		}
	}
	return sorted(gaps)
}

// Within gives the sectors of the table that lie in the range, in part or
// whole, cut to it: writing to a partition of which they are part must leave
// them alone.
func (t *Table) Within(e extent.Extent) []Sector {
	var found []Sector
	for _, s := range t.Sectors {
		from, to := max(s.Offset, e.Offset), min(s.end(), e.End())
		if from < to {
			found = append(found, Sector{s.Name, from, s.Data[from-s.Offset : to-s.Offset]})
		}
	}
	return found
}
