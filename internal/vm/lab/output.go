package lab

import (
	"regexp"
	"strings"
	"testing"
)

// outcome is what one test in the guest came to.
type outcome struct {
	name   string
	status string // PASS, FAIL, SKIP, or "" where it did not end
	took   string // "1.25s"
	text   string
}

// tell makes t end as the test in the guest did.
func (o outcome) tell(t *testing.T) {
	t.Helper()
	t.Log(strings.TrimRight("in the guest: "+o.took+"\n"+o.text, "\n"))
	switch o.status {
	case "PASS":
	case "SKIP":
		t.SkipNow()
	case "FAIL":
		t.Fail()
	default:
		t.Fatal("the test did not end")
	}
}

var (
	began = regexp.MustCompile(`^=== (?:RUN|NAME|CONT) +(\S+)$`)
	ended = regexp.MustCompile(`^ *--- (PASS|FAIL|SKIP): (\S+) \((\S+)\)`)
)

// split takes the output of go test -v apart: what belongs to the test of that
// name, and what to each of its subtests with all below it.
func split(text, name string) (main outcome, subtests []outcome) {
	main.name = name
	places := map[string]int{}
	find := func(test string) *outcome {
		rest, below := strings.CutPrefix(test, name+"/")
		if !below {
			return &main
		}
		first, _, _ := strings.Cut(rest, "/")
		i, ok := places[first]
		if !ok {
			i = len(subtests)
			places[first] = i
			subtests = append(subtests, outcome{name: first})
		}
		return &subtests[i]
	}
	current := &main
	for line := range strings.Lines(text) {
		bare := strings.TrimRight(line, "\n")
		if m := began.FindStringSubmatch(bare); m != nil {
			current = find(m[1])
			continue
		}
		if m := ended.FindStringSubmatch(bare); m != nil {
			if current = find(m[2]); m[2] == name || m[2] == name+"/"+current.name {
				current.status, current.took = m[1], m[3]
				continue
			}
		}
		if bare != "PASS" && bare != "FAIL" {
			current.text += line
		}
	}
	return main, subtests
}
