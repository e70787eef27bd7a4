package main

import (
	"fmt"
	"net"
	"os"
	"strings"

	"doppel.live/internal/tui"
)

// Files in which the live system says how it stands.
const (
	outcome = "/run/doppel/outcome" // of the unattended start
	then    = "/run/doppel/then"    // what a job file says of what follows
	sshKey  = "/run/doppel/ssh"     // fingerprint of the host key, while ssh works
)

// news is what the main page tells of the unattended start and of ssh, on every
// console and to those who come by ssh.
func news() []tui.Line {
	var out []tui.Line
	if data, err := os.ReadFile(outcome); err == nil {
		out = append(out, outcomeLines(string(data))...)
	}
	if data, err := os.ReadFile(sshKey); err == nil {
		out = append(out, sshLine(strings.TrimSpace(string(data)), addresses()))
	}
	return out
}

// tellOutcome leaves there how the job that --run names ended. Where it cannot
// be left, the page of the job says it all the same.
func tellOutcome(ok bool, text string) {
	state := "failed: "
	if ok {
		state = "done: "
	}
	_ = os.WriteFile(outcome, []byte(state+strings.ReplaceAll(text, "\n", " ")+"\n"), 0o644)
}

// tellFollows leaves there what a job file says of what follows.
func tellFollows(what tui.Then) { _ = os.WriteFile(then, []byte(string(what)+"\n"), 0o644) }

// outcomeLines words how the unattended start stands.
func outcomeLines(text string) []tui.Line {
	state, what, ok := strings.Cut(strings.TrimSpace(text), ": ")
	if !ok {
		return nil
	}
	switch state {
	case "running":
		return []tui.Line{{Tone: tui.Strong, Text: "An unattended job runs: " + what}}
	case "done":
		return []tui.Line{{Tone: tui.Good, Text: "The unattended job is done: " + what}}
	case "failed":
		return []tui.Line{{Tone: tui.Bad, Text: "The unattended job failed: " + what}}
	}
	return nil
}

// sshLine says how to come in.
func sshLine(fingerprint string, addresses []string) tui.Line {
	where := "no address yet"
	if len(addresses) > 0 {
		where = "ssh root@" + strings.Join(addresses, ", root@")
	}
	return tui.Line{Tone: tui.Dim, Text: fmt.Sprintf("%s, host key %s", where, fingerprint)}
}

// addresses are those of this machine that lead somewhere.
func addresses() []string {
	var out []string
	all, _ := net.InterfaceAddrs()
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			out = append(out, n.IP.String())
		}
	}
	return out
}
