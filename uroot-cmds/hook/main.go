// Command hook runs a program that doppel.prerun= or doppel.postrun= names, and
// what else comes before an unattended job, for the first process:
//
//	hook --when before|after [--job WORDS] -- PROGRAM [ARGUMENT]...
//
// What the program says stands on the terminal and in
// /var/log/doppel/unattended.log. It finds DOPPEL_JOB, what the job is, and
// DOPPEL_WHEN, before or after, in its environment; after means that all went
// well so far (DOPPEL_STATUS is 0), since nothing is run behind a failure. No
// shell reads its arguments. Exit status: that of the program; 127 when it cannot
// be started, 128 and its number for a signal, 2 usage.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const logFile = "/var/log/doppel/unattended.log"

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, logFile)) }

func run(args []string, in *os.File, stdout, stderr io.Writer, file string) int {
	flags := flag.NewFlagSet("hook", flag.ContinueOnError)
	flags.SetOutput(stderr)
	when := flags.String("when", "", "before or after")
	job := flags.String("job", "", "what the job is")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	argv := flags.Args()
	if len(argv) == 0 || *when != "before" && *when != "after" {
		fmt.Fprintln(stderr, "usage: hook --when before|after [--job WORDS] -- PROGRAM [ARGUMENT]...")
		return 2
	}
	var log io.Writer = io.Discard
	if f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err == nil {
		defer f.Close()
		log = f
	}
	note := func(format string, args ...any) {
		fmt.Fprintf(log, "%s %s: "+format+"\n", append([]any{time.Now().UTC().Format(time.RFC3339), *when}, args...)...)
	}
	note("%s", strings.Join(argv, " "))
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "DOPPEL_WHEN="+*when, "DOPPEL_JOB="+*job, "DOPPEL_STATUS=0")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, io.MultiWriter(stdout, log), io.MultiWriter(stderr, log)
	cmd.WaitDelay = 2 * time.Second // for what it leaves in the background
	err := cmd.Run()
	if cmd.ProcessState == nil {
		fmt.Fprintf(stderr, "%v\n", err)
		note("%v", err)
		return 127
	}
	status := cmd.ProcessState.ExitCode()
	if w, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		status = 128 + int(w.Signal())
	}
	note("exit status %d", status)
	return status
}
