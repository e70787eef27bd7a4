package main

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestParseTargets(t *testing.T) {
	const listed = "FuzzNames\nFuzzOther\nok  \tdoppel.live/iso\t0.003s\n" +
		"?   \tdoppel.live/internal/image\t[no test files]\n" +
		"ok  \tdoppel.live/internal/plan\t0.010s\n" +
		"FuzzOpen\nok  \tdoppel.live/internal/filesystem/xfs\t(cached)\n"
	want := []fuzzTarget{{"doppel.live/iso", "FuzzNames"}, {"doppel.live/iso", "FuzzOther"}, {"doppel.live/internal/filesystem/xfs", "FuzzOpen"}}
	if got := parseTargets([]byte(listed)); !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
}

// fuzzOutput are what Go 1.26 prints, and what is to be seen of it.
var fuzzOutput = []struct {
	name, out string
	want      fuzzResult
}{
	{"sound", `=== RUN   FuzzSum
fuzz: elapsed: 0s, gathering baseline coverage: 0/3 completed
fuzz: elapsed: 0s, gathering baseline coverage: 3/3 completed, now fuzzing with 2 workers
fuzz: elapsed: 3s, execs: 82361 (27450/sec), new interesting: 2 (total: 5)
fuzz: elapsed: 5s, execs: 140022 (28829/sec), new interesting: 4 (total: 7)
--- PASS: FuzzSum (5.00s)
PASS
ok  	doppel.live/x	5.012s
`, fuzzResult{executions: 140022, inputs: 4}},
	{"a find", `=== RUN   FuzzSum
fuzz: elapsed: 0s, gathering baseline coverage: 3/3 completed, now fuzzing with 2 workers
fuzz: elapsed: 1s, execs: 3210 (3200/sec), new interesting: 1 (total: 4)
--- FAIL: FuzzSum (1.10s)
    --- FAIL: FuzzSum (0.00s)
        sum_test.go:12: wrong
    
    Failing input written to testdata/fuzz/FuzzSum/771e938e4458e983
    To re-run:
    go test -run=FuzzSum/771e938e4458e983
FAIL
`, fuzzResult{executions: 3210, inputs: 1, finds: []string{"testdata/fuzz/FuzzSum/771e938e4458e983"}}},
	{"skipped", `=== RUN   FuzzSum
    fstest.go:52: mkfs.xfs is not installed
--- SKIP: FuzzSum (0.00s)
=== NAME  
PASS
`, fuzzResult{skipped: "fstest.go:52: mkfs.xfs is not installed"}},
}

func TestParseFuzz(t *testing.T) {
	for _, tt := range fuzzOutput {
		if got := parseFuzz([]byte(tt.out)); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

func TestReport(t *testing.T) {
	targets := []fuzzTarget{{"a", "FuzzA"}, {"b", "FuzzB"}}
	good := fuzzResult{executions: 7}
	for _, tt := range []struct {
		name  string
		other fuzzResult
		want  string // in the table; the error is there where it is not "none"
	}{
		{"good", good, "none"},
		{"find", fuzzResult{executions: 7, finds: []string{"testdata/fuzz/FuzzB/1"}, err: errors.New("exit status 1")}, "testdata/fuzz/FuzzB/1"},
		{"failed", fuzzResult{err: errors.New("exit status 2")}, "exit status 2"},
		{"skipped", fuzzResult{skipped: "no mkfs"}, "did not run: no mkfs"},
		{"nothing", fuzzResult{}, "did not run"},
	} {
		var out strings.Builder
		err := report(&out, targets, []fuzzResult{good, tt.other})
		lines := strings.Split(strings.TrimRight(out.String(), "\n"), "\n")
		if len(lines) != 3 || !strings.HasSuffix(lines[2], tt.want) || (err != nil) != (tt.want != "none") {
			t.Errorf("%s: %v\n%s", tt.name, err, out.String())
		}
	}
}
