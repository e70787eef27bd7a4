// Command stick looks after the stick that the live system was started from.
//
//	stick grow [--wait TIME [--settle]] [--fresh] [--json]
//
// A stick with doppel-usb.img gets a partition for images behind the image,
// which is mounted at /images unless there is a place for images already; the
// first process runs this before the menu comes. A partition or file system that
// is there is used as it is. What is not recognised is left alone, and said;
// --fresh, given by hand, says that nothing of it is needed any more. A stick
// with doppel.iso, and every other disk, is never changed.
//
// With --wait it waits up to TIME (such as 20s) for the stick to appear, with
// --settle not longer than something new appears. Exit status: 0 done, or nothing
// to do; 1 failed or left alone; 2 usage; 3 no such stick is here.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"

	"doppel.live/internal/live/modules"
	"doppel.live/internal/live/ownstick"
	"doppel.live/internal/live/place"
)

const usage = "usage: stick grow [--wait TIME [--settle]] [--fresh] [--json]"

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("stick", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprintln(stderr, usage); flags.PrintDefaults() }
	asJSON := flags.Bool("json", false, "print JSON")
	fresh := flags.Bool("fresh", false, "what is not recognised on the stick is not needed any more")
	wait := flags.Duration("wait", 0, "how long the stick may need to appear")
	settle := flags.Bool("settle", false, "wait no longer when nothing new appears")
	if len(args) == 0 || args[0] != "grow" || flags.Parse(args[1:]) != nil || flags.NArg() > 0 {
		flags.Usage()
		return 2
	}
	out, err := ownstick.Grow(context.Background(), ownstick.Options{Wait: *wait, Settle: *settle, Insist: *fresh, Place: place.System{LoadModule: loadModule}})
	if err != nil {
		out.Text, out.Next = err.Error(), "the place for images is free to choose; the stick can be looked at with doppel disks"
	}
	note(out)
	if *asJSON {
		_ = json.NewEncoder(stdout).Encode(out)
	} else {
		fmt.Fprint(stdout, words(out))
	}
	switch {
	case out.Text != "":
		return 1
	case out.Disk == "":
		return 3
	}
	return 0
}

// words says in lines what was done.
func words(out ownstick.Outcome) string {
	text := ""
	switch {
	case out.Disk == "" && out.Text == "":
		return "no stick with doppel-usb.img is here\n"
	case out.Partition != "" && out.Made:
		text = fmt.Sprintf("%s: made, %s, %d MB\n", out.Partition, out.Images.FileSystem, out.Images.Length/1e6)
	case out.Partition != "":
		text = fmt.Sprintf("%s: found, %s, %d MB\n", out.Partition, out.Images.FileSystem, out.Images.Length/1e6)
	}
	if out.Mounted {
		text += "it is at " + place.Dir + "\n"
	}
	if out.Text != "" {
		text += out.Text + "\n" + out.Next + "\n"
	}
	return text
}

// note leaves what the user should know where the menu finds it.
func note(out ownstick.Outcome) {
	if out.Text == "" {
		_ = os.Remove(ownstick.NoteFile)
		return
	}
	text := "The stick that was started from: " + out.Text + "."
	if out.Next != "" {
		text += " What can be done: " + out.Next + "."
	}
	_ = os.WriteFile(ownstick.NoteFile, []byte(text+"\n"), 0o644)
}

func loadModule(name string) error {
	l, err := modules.Open()
	if err != nil {
		return err
	}
	return l.Load(name)
}
