// Command network brings the network of the live system up and down.
//
//	network up [DEVICE] [--ip SPEC] [--wait TIME]   by DHCP, or as SPEC says
//	network start [--wait TIME]                     as the kernel command line says
//	network down DEVICE
//	network clock [--server HOST]...                set the clock
//	network status [--json]
//
// SPEC is written as ip= on the kernel command line:
//
//	dhcp, auto6                                  any card; auto6 is IPv6 as a router announces it
//	DEVICE:dhcp, DEVICE:auto6
//	ADDRESS::GATEWAY:MASK:HOSTNAME:DEVICE:none:DNS:DNS
//	DEVICE:ADDRESS:MASK:GATEWAY:DNS
//
// An IPv6 address stands in brackets, with a number of bits as the mask. DEVICE
// is a kernel name, or a hardware address with dashes: 52-54-00-12-34-56.
// Start also knows bond=, vlan=, ifname=, nameserver=, rd.route= and BOOTIF=, as
// dracut.cmdline(7) has them; ip= may stand several times. Up and start wait up
// to TIME (30s) for cards, cables and answers, leave a process that renews the
// lease, and set the clock.
//
// Clock asks HOST, else what doppel.ntp= on the kernel command line names, else
// the servers that DHCP named, else pool.ntp.org. It never steps the clock while
// a job runs, and leaves the hardware's clock alone (hwclock -w sets it).
//
// There is no wireless and no DHCP for IPv6 yet. Exit status: 0 done, 1 failed,
// 2 usage.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"doppel.live/internal/live/network"
)

const usage = "usage: network up [DEVICE] [--ip SPEC] [--wait TIME] | start [--wait TIME] | down DEVICE | clock [--server HOST]... | status [--json]"

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// list is an option that may be given several times.
type list []string

func (l *list) String() string { return strings.Join(*l, " ") }

// Set adds a value.
func (l *list) Set(text string) error {
	*l = append(*l, text)
	return nil
}

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("network", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprintln(stderr, usage); flags.PrintDefaults() }
	ip := flags.String("ip", "", "addresses as ip= on the kernel command line; without it DHCP")
	wait := flags.Duration("wait", 30*time.Second, "how long to wait for card, cable and answer")
	asJSON := flags.Bool("json", false, "print JSON")
	var servers list
	flags.Var(&servers, "server", "ask this `host` for the time")
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
	case words[0] == "start":
		status, err = 1, start(stdout, *wait)
	case words[0] == "down" && words[1] != "":
		status, err = 1, network.System{}.Down(words[1])
	case words[0] == "clock":
		status, err = 1, setClock(context.Background(), stdout, servers)
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
		if s.Device == "" {
			s.Device = device
		}
		if err := bringUp(out, s, wait); err != nil {
			return err
		}
	}
	return leave("clock")
}

// bringUp brings one card up.
func bringUp(out io.Writer, s network.Settings, wait time.Duration) error {
	if s.Off {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	lease, err := network.System{}.Up(ctx, s)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, line(lease))
	if lease.Lasts > 0 {
		return leave("hold", lease.Device)
	}
	return nil
}

// leave starts this program again with other words, on its own.
func leave(words ...string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	p, err := os.StartProcess(self, append([]string{os.Args[0]}, words...), &os.ProcAttr{
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
	links, err := network.List()
	if err != nil {
		return err
	}
	wireless := network.Wireless("/sys")
	if asJSON {
		return json.NewEncoder(out).Encode(map[string]any{"cards": leases, "links": links, "wireless": wireless, "clock": clockState()})
	}
	if len(leases) == 0 {
		fmt.Fprintln(out, "the network is not up")
	}
	for _, l := range leases {
		fmt.Fprintln(out, line(l))
	}
	for _, l := range links {
		fmt.Fprintln(out, linkLine(l))
	}
	for _, w := range wireless {
		fmt.Fprintf(out, "wireless card at %s: there is no wireless in this version, plug in a cable\n", w)
	}
	if a := clockState(); a != nil {
		fmt.Fprintln(out, a.Say())
	}
	return nil
}

// linkLine describes a network device.
func linkLine(l network.Link) string {
	state := "switched off"
	switch {
	case l.Cable:
		state = "connected"
	case l.Up:
		state = "no cable"
	}
	text := strings.Join(append([]string{l.Device, l.MAC, l.Kind, state}, l.Addresses...), "  ")
	if l.Of != "" {
		text += "  with " + l.Of
	}
	return text
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
