package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Links are what is made of the network cards before addresses are given, as
// dracut.cmdline(7) has it:
//
//	ifname=NAME:MAC                     another name for the card with that address
//	bond=NAME:CARD,CARD[:OPTIONS[:MTU]] several cards as one; OPTIONS as mode=802.3ad,miimon=100
//	vlan=NAME:DEVICE                    a tagged network; NAME is eth0.5, eth0.0005, vlan5 or vlan0005
//	rd.route=NETWORK/BITS:GATEWAY[:DEVICE]
//	nameserver=ADDRESS
//	BOOTIF=01-MAC                       the card that the machine was started by, which "any" means then
//
// A card is named by its kernel name or its hardware address.
type Links struct {
	Names   []Name
	Bonds   []Bond
	VLANs   []VLAN
	Routes  []Route
	DNS     []netip.Addr
	BootMAC string // of BOOTIF; "" is none
}

// Name is another name for a card.
type Name struct{ Name, MAC string }

// Bond is several cards that act as one.
type Bond struct {
	Name    string
	Cards   []string
	Options map[string]string // as modinfo(8) shows them for the driver
	MTU     int               // bytes; 0 = the driver's own
}

// VLAN is a tagged network on a device.
type VLAN struct {
	Name, Device string
	ID           int // 1 to 4094
}

// Route is a way to a network beside the default one.
type Route struct {
	To     netip.Prefix
	Via    netip.Addr
	Device string // "" = the kernel finds it
}

// Take reads one parameter of the kernel command line. Others than those of
// Links are an error.
func (l *Links) Take(key, value string) error {
	var err error
	switch key {
	case "ifname":
		name, mac, _ := strings.Cut(value, ":")
		if mac, err = hardware(mac); err == nil {
			err = checkName(name)
		}
		l.Names = append(l.Names, Name{name, mac})
	case "bond":
		err = l.bond(value)
	case "vlan":
		err = l.vlan(value)
	case "rd.route":
		err = l.route(value)
	case "nameserver":
		var a netip.Addr
		if a, err = optional(strings.Trim(value, "[]")); err == nil && a.IsValid() {
			l.DNS = append(l.DNS, a)
		}
	case "BOOTIF":
		l.BootMAC, err = hardware(strings.TrimPrefix(value, "01-")) // 01 is Ethernet
	default:
		err = errors.New("no such parameter of the network")
	}
	if err != nil {
		return fmt.Errorf("%s=%s: %w", key, value, err)
	}
	return nil
}

// hardware reads a hardware address, with colons or dashes in it.
func hardware(text string) (string, error) {
	mac, err := net.ParseMAC(strings.ReplaceAll(text, "-", ":"))
	if err != nil || len(mac) != 6 {
		return "", fmt.Errorf("%q is no hardware address such as 52:54:00:12:34:56", text)
	}
	return mac.String(), nil
}

// checkName tells whether the kernel takes a name for a device.
func checkName(name string) error {
	if name == "" || len(name) > 15 || name == "." || name == ".." || strings.ContainsAny(name, "/: \t\n%") {
		return fmt.Errorf("%q is no name for a network device", name)
	}
	return nil
}

// card reads how a card is named: a hardware address or a kernel name.
func card(text string) (string, error) {
	if mac, err := hardware(text); err == nil {
		return mac, nil
	}
	return text, checkName(text)
}

func (l *Links) bond(value string) error {
	f := strings.Split(value, ":")
	if len(f) > 4 {
		return errors.New("too many colons; write hardware addresses with dashes")
	}
	f = append(f, "", "", "")
	b := Bond{Name: f[0], Options: map[string]string{}}
	if b.Name == "" {
		b.Name = "bond0"
	}
	if f[1] == "" { // dracut's default
		f[1] = "eth0,eth1"
	}
	for c := range strings.SplitSeq(f[1], ",") {
		c, err := card(c)
		if err != nil {
			return err
		}
		b.Cards = append(b.Cards, c)
	}
	if f[2] != "" {
		for o := range strings.SplitSeq(f[2], ",") {
			k, v, _ := strings.Cut(o, "=")
			b.Options[k] = v
		}
	}
	if f[3] != "" {
		var err error
		if b.MTU, err = mtu(f[3]); err != nil {
			return err
		}
	}
	if _, err := b.link(); err != nil {
		return err
	}
	l.Bonds = append(l.Bonds, b)
	return checkName(b.Name)
}

func mtu(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 576 || n > 65535 {
		return 0, fmt.Errorf("%q is no MTU: 576 to 65535 bytes", text)
	}
	return n, nil
}

func (l *Links) vlan(value string) error {
	name, device, _ := strings.Cut(value, ":")
	device, err := card(device)
	if err != nil {
		return err
	}
	digits := name[len(strings.TrimRight(name, "0123456789")):]
	id, err := strconv.Atoi(digits)
	if err != nil || id < 1 || id > 4094 {
		return fmt.Errorf("%q does not end with the number of a VLAN, 1 to 4094", name)
	}
	l.VLANs = append(l.VLANs, VLAN{name, device, id})
	return checkName(name)
}

func (l *Links) route(value string) error {
	f := splitFields(value)
	if len(f) < 2 || len(f) > 3 {
		return errors.New("write it as NETWORK/BITS:GATEWAY[:DEVICE]")
	}
	to, err := netip.ParsePrefix(f[0])
	if err != nil {
		return err
	}
	r := Route{To: to.Masked()}
	if r.Via, err = netip.ParseAddr(f[1]); err != nil {
		return err
	}
	if len(f) == 3 {
		r.Device = f[2]
		err = checkName(r.Device)
	}
	l.Routes = append(l.Routes, r)
	return err
}
