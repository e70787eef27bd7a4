package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// soak runs the tests with the long ones, then every fuzz target of the module
// for the same time. What one finds does not keep the others from running.
func (b *builder) soak() error {
	tests := b.test([]string{"DOPPEL_SOAK=1"}, "-timeout=4h")
	if b.fuzz <= 0 {
		return tests
	}
	return errors.Join(tests, step("fuzzing", b.fuzzAll))
}

// fuzzTarget is a function of a test that Go's fuzzer drives.
type fuzzTarget struct {
	pkg, name string
}

// fuzzResult is what came of fuzzing a target.
type fuzzResult struct {
	executions int64
	inputs     int64    // new ones that reach new code
	finds      []string // inputs that fail, kept below testdata/
	skipped    string   // why it did not run
	err        error
}

// fuzzAll fuzzes one target after the other and says at the end how often each
// ran and what it found.
func (b *builder) fuzzAll() error {
	targets, err := b.fuzzTargets()
	if err != nil {
		return err
	}
	log.Printf("fuzzing %d targets, %v each", len(targets), b.fuzz)
	results := make([]fuzzResult, len(targets))
	for i, t := range targets {
		results[i] = b.fuzzOne(t)
	}
	return report(os.Stdout, targets, results)
}

// fuzzTargets lists the targets of all packages.
func (b *builder) fuzzTargets() ([]fuzzTarget, error) {
	cmd := exec.Command(b.goTool, "test", "-list=^Fuzz", "./...")
	cmd.Dir = b.source
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list of fuzz targets: %w\n%s", err, out)
	}
	return parseTargets(out), nil
}

// parseTargets reads what go test -list prints: the names of a package, then
// the package.
//
//	FuzzOpen
//	ok  	doppel.live/internal/filesystem/xfs	0.004s
func parseTargets(out []byte) (targets []fuzzTarget) {
	var names []string
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		switch {
		case len(words) == 1 && strings.HasPrefix(words[0], "Fuzz"):
			names = append(names, words[0])
		case len(words) > 1 && words[0] == "ok":
			for _, name := range names {
				targets = append(targets, fuzzTarget{words[1], name})
			}
			names = nil
		}
	}
	return targets
}

// fuzzOne fuzzes a target. Inputs are made smaller in a few runs only: with
// volumes for input, Go's fuzzer would do little else.
func (b *builder) fuzzOne(t fuzzTarget) fuzzResult {
	const grace = 20 * time.Minute // to build, to make seeds, to run those kept
	ctx, cancel := context.WithTimeout(context.Background(), b.fuzz+grace)
	defer cancel()
	cmd := exec.CommandContext(ctx, b.goTool, "test", "-v", "-run=^$", "-fuzz=^"+t.name+"$", "-fuzztime="+b.fuzz.String(),
		"-fuzzminimizetime=10x", "-parallel=2", t.pkg)
	cmd.Dir = b.source
	cmd.WaitDelay = time.Minute
	var out bytes.Buffer
	cmd.Stdout = io.MultiWriter(os.Stdout, &out)
	cmd.Stderr = cmd.Stdout
	err := cmd.Run()
	r := parseFuzz(out.Bytes())
	r.err = err
	return r
}

var (
	fuzzProgress = regexp.MustCompile(`^fuzz: elapsed: .*, execs: (\d+) .*, new interesting: (\d+) `)
	fuzzFind     = regexp.MustCompile(`Failing input written to (\S+)`)
)

// parseFuzz reads what go test -v -fuzz prints.
func parseFuzz(out []byte) (r fuzzResult) {
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 16<<20)
	last := ""
	for lines.Scan() {
		line := lines.Text()
		if m := fuzzProgress.FindStringSubmatch(line); m != nil {
			r.executions, _ = strconv.ParseInt(m[1], 10, 64)
			r.inputs, _ = strconv.ParseInt(m[2], 10, 64)
		} else if m := fuzzFind.FindStringSubmatch(line); m != nil {
			r.finds = append(r.finds, m[1])
		} else if strings.HasPrefix(line, "--- SKIP: ") {
			r.skipped = strings.TrimSpace(last) // the reason stands before
		}
		last = line
	}
	return r
}

// report prints a table of all targets. It is an error where one failed or did
// not run.
func report(w io.Writer, targets []fuzzTarget, results []fuzzResult) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "package\ttarget\texecutions\tnew inputs\tfinds")
	bad := 0
	for i, r := range results {
		verdict := "none"
		switch {
		case len(r.finds) > 0:
			verdict = strings.Join(r.finds, " ")
		case r.err != nil:
			verdict = r.err.Error()
		case r.skipped != "":
			verdict = "did not run: " + r.skipped
		case r.executions == 0:
			verdict = "did not run"
		}
		if verdict != "none" {
			bad++
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%s\n", targets[i].pkg, targets[i].name, r.executions, r.inputs, verdict)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d fuzz targets failed or did not run", bad, len(targets))
	}
	return nil
}
