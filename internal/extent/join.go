package extent

import (
	"errors"
	"iter"
)

// errStopped is what find gets from add when the caller wants no more.
var errStopped = errors.New("stopped by the caller")

// Joined gives what find adds, in that order: each extent joined with those
// that touch its end, those of no length left out. Find ends with any error that
// add returns; its own error ends the sequence.
//
//	{0,4} {4,4} {8,0} {10,2}  →  {0,8} {10,2}
func Joined(find func(add func(Extent) error) error) iter.Seq2[Extent, error] {
	return func(yield func(Extent, error) bool) {
		var pending Extent
		stopped := false
		err := find(func(e Extent) error {
			switch {
			case e.Length == 0:
			case e.Offset == pending.End():
				pending.Length += e.Length
			case stopped || pending.Length != 0 && !yield(pending, nil):
				stopped = true
				return errStopped
			default:
				pending = e
			}
			return nil
		})
		switch {
		case stopped:
		case err != nil:
			yield(Extent{}, err)
		case pending.Length != 0:
			yield(pending, nil)
		}
	}
}

// Sum is the Total of a sequence. It stops at the first error.
func Sum(seq iter.Seq2[Extent, error]) (int64, error) {
	var sum int64
	for e, err := range seq {
		if err != nil {
			return 0, err
		}
		sum += e.Length
	}
	return sum, nil
}
