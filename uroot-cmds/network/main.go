// Command network brings the network of the live system up and down.
//
//	network up [DEVICE] [--ip SPEC] [--wait TIME]   by DHCP, or as SPEC says
//	network down DEVICE
//	network status [--json]
//
// SPEC is written as ip= on the kernel command line. Up waits up to TIME (30s)
// for the card, its cable and an answer, and leaves a process that renews the
// lease. Exit status: 0 done, 1 failed, 2 usage.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"doppel.live/internal/live/network"
)

const usage = "usage: network up [DEVICE] [--ip SPEC] [--wait TIME] | down DEVICE | status [--json]"

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("network", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprintln(stderr, usage); flags.PrintDefaults() }
	ip := flags.String("ip", "", "addresses as ip= on the kernel command line; without it DHCP")
	wait := flags.Duration("wait", 30*time.Second, "how long to wait for card, cable and answer")
	asJSON := flags.Bool("json", false, "print JSON")
	var words []string
	for rest := args; ; {
		if err := flags.Parse(rest); errors.Is(err, flag.ErrHelp) {
			return 0
		} else if err != nil {
			return 2
		}
		if flags.NArg() == 0 {
			break
		}
		words, rest = append(words, flags.Arg(0)), flags.Args()[1:]
	}
	words = append(words, "", "")
	err := errors.New(usage)
	status := 2
	switch {
	case words[0] == "up":
		status, err = 1, up(stdout, words[1], *ip, *wait)
	case words[0] == "down" && words[1] != "":
		status, err = 1, network.System{}.Down(words[1])
	case words[0] == "status":
		status, err = 1, show(stdout, *asJSON)
	case words[0] == "hold" && words[1] != "": // what up leaves behind
		status, err = 1, hold(words[1])
	}
	if err != nil {
		fmt.Fprintf(stderr, "network: %v\n", err)
		return status
	}
	return 0
}

func up(out io.Writer, device, ip string, wait time.Duration) error {
	list, err := network.ParseIP(ip)
	if err != nil {
		return err
	}
	for _, s := range list {
		if s.Off {
			continue
		}
		if s.Device == "" {
			s.Device = device
		}
		ctx, cancel := context.WithTimeout(context.Background(), wait)
		lease, err := network.System{}.Up(ctx, s)
		cancel()
		if err != nil {
			return err
		}
		fmt.Fprintln(out, line(lease))
		if lease.Lasts > 0 {
			if err := leaveHolder(lease.Device); err != nil {
				return err
			}
		}
	}
	return nil
}

// leaveHolder starts this program again, as "network hold", on its own.
func leaveHolder(device string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	p, err := os.StartProcess(self, []string{os.Args[0], "hold", device}, &os.ProcAttr{
		Env: os.Environ(), Files: []*os.File{null, null, null}, Sys: &syscall.SysProcAttr{Setsid: true}})
	if err != nil {
		return err
	}
	return p.Release()
}

func hold(device string) error {
	leases, err := network.System{}.Leases()
	if err != nil {
		return err
	}
	for _, l := range leases {
		if l.Device == device {
			return network.System{}.Hold(context.Background(), l)
		}
	}
	return fmt.Errorf("%s has no lease", device)
}

func show(out io.Writer, asJSON bool) error {
	leases, err := network.System{}.Leases()
	if err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(out).Encode(map[string]any{"cards": leases})
	}
	if len(leases) == 0 {
		fmt.Fprintln(out, "the network is not up")
	}
	for _, l := range leases {
		fmt.Fprintln(out, line(l))
	}
	return nil
}

func line(l network.Lease) string {
	text := fmt.Sprintf("%s has %s", l.Device, l.Address)
	if l.Gateway.IsValid() {
		text += ", gateway " + l.Gateway.String()
	}
	for _, d := range l.DNS {
		text += ", name server " + d.String()
	}
	return text
}
