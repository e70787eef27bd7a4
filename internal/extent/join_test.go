package extent

import (
	"errors"
	"slices"
	"testing"
)

func TestJoined(t *testing.T) {
	broken := errors.New("broken")
	for name, tt := range map[string]struct {
		add  []Extent
		err  error // of find, behind them
		want []Extent
	}{
		"nothing":           {},
		"one":               {add: []Extent{{3, 4}}, want: []Extent{{3, 4}}},
		"touching":          {add: []Extent{{0, 4}, {4, 4}, {8, 1}, {10, 2}}, want: []Extent{{0, 9}, {10, 2}}},
		"touching 0":        {add: []Extent{{0, 0}, {0, 4}, {4, 1}}, want: []Extent{{0, 5}}},
		"of no length":      {add: []Extent{{1, 2}, {7, 0}, {3, 1}, {9, 0}}, want: []Extent{{1, 3}}},
		"descending":        {add: []Extent{{8, 2}, {4, 2}}, want: []Extent{{8, 2}, {4, 2}}},   // for Validate to find
		"of less than none": {add: []Extent{{4, -1}, {8, 1}}, want: []Extent{{4, -1}, {8, 1}}}, // so too
		"overlapping":       {add: []Extent{{0, 4}, {3, 4}}, want: []Extent{{0, 4}, {3, 4}}},
		"an error at once":  {err: broken},
		"an error":          {add: []Extent{{0, 4}, {8, 4}}, err: broken, want: []Extent{{0, 4}}},
		"an error in a run": {add: []Extent{{0, 4}, {4, 4}}, err: broken},
	} {
		seq := Joined(func(add func(Extent) error) error {
			for _, e := range tt.add {
				if err := add(e); err != nil {
					return err
				}
			}
			return tt.err
		})
		var got []Extent
		var last error
		for e, err := range seq {
			if last != nil {
				t.Errorf("%s: asked on after the error", name)
			}
			if last = err; err == nil {
				got = append(got, e)
			}
		}
		if !slices.Equal(got, tt.want) || last != tt.err {
			t.Errorf("%s: %v, %v, want %v, %v", name, got, last, tt.want, tt.err)
		}
		for n := range tt.want { // whoever stops gets no more, and no error
			left := n + 1
			for range seq {
				if left--; left == 0 {
					break
				}
			}
		}
	}
}

// A find that does not heed what add returns gives nothing more to a caller who
// has stopped.
func TestJoinedStopped(t *testing.T) {
	calls := 0
	for range Joined(func(add func(Extent) error) error {
		for i := range int64(5) {
			if err := add(Extent{2 * i, 1}); (err != nil) != (i >= 1) {
				t.Errorf("extent %d: %v", i, err)
			}
		}
		return errors.New("broken")
	}) {
		calls++
		break
	}
	if calls != 1 {
		t.Errorf("%d extents were given", calls)
	}
}

func TestSum(t *testing.T) {
	if n, err := Sum(all([]Extent{{0, 4}, {9, 1}})); n != 5 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	broken := errors.New("broken")
	_, err := Sum(Joined(func(add func(Extent) error) error { return errors.Join(add(Extent{0, 1}), broken) }))
	if !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
}
