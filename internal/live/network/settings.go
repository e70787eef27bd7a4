// Package network brings up the live system's network cards when a job needs
// them: IPv4 by DHCP or with given addresses, IPv6 with what routers announce
// or with given addresses, on cards, bonds of several and VLANs. There is no
// DHCP for IPv6 and no wireless. It mounts nothing and knows no protocol above.
package network

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Settings say how a network card is brought up. The zero value is DHCP on
// whichever card gets an answer first.
type Settings struct {
	Device   string       // kernel name; "" = any with a cable in it
	Address  netip.Prefix // not valid: ask by DHCP
	Gateway  netip.Addr   // not valid: none
	DNS      []netip.Addr
	Hostname string
	MTU      int  // bytes; 0 = the card's own, or what DHCP says
	Router   bool // IPv6: the address that a router announces
	Off      bool // leave the network alone
}

// Static tells whether the address is given.
func (s Settings) Static() bool { return s.Address.IsValid() }

// ParseIP reads the value of ip= on the kernel command line, which may be
//
//	dhcp                                                   any card (also on, any, both, "")
//	none                                                   no network (also off)
//	auto6                                                  IPv6 as a router announces it, any card
//	eth0:dhcp, eth0:auto6                                  that card
//	CLIENT:SERVER:GATEWAY:NETMASK:HOST:DEVICE:AUTO:DNS:DNS the kernel's own (nfsroot.rst)
//	DEVICE:CLIENT:NETMASK:GATEWAY:DNS,…                    Clonezilla's and Debian live's, several by comma
//
// with fields left out from the end or empty. IPv6 addresses stand in
// brackets, with the number of bits as the mask. A card is named by its kernel
// name or its hardware address, which is written with dashes. Behind the
// method, a number is an MTU (dracut.cmdline(7)).
func ParseIP(text string) ([]Settings, error) {
	if auto, ok := method(text); ok {
		return []Settings{auto}, nil
	}
	fields := splitFields(text)
	if fields[0] != "" && !isAddr(fields[0]) {
		return parseLive(text)
	}
	s, err := parseKernel(fields)
	if err != nil {
		return nil, fmt.Errorf("ip=%s: %w", text, err)
	}
	return []Settings{s}, nil
}

// splitFields cuts at colons, but not at those of an IPv6 address in brackets,
// and takes the brackets off.
func splitFields(text string) []string {
	out := []string{""}
	inside := false
	for _, r := range text {
		switch {
		case r == '[' || r == ']':
			inside = r == '['
		case r == ':' && !inside:
			out = append(out, "")
		default:
			out[len(out)-1] += string(r)
		}
	}
	return out
}

func isAddr(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

// method reads a word for how to get an address.
func method(word string) (Settings, bool) {
	switch word {
	case "dhcp", "on", "any", "both", "auto", "":
		return Settings{}, true
	case "off", "none", "frommedia":
		return Settings{Off: true}, true
	case "auto6":
		return Settings{Router: true}, true
	}
	return Settings{}, false
}

// parseKernel reads the fields of the kernel's form.
func parseKernel(f []string) (Settings, error) {
	at := func(i int) string {
		if i < len(f) {
			return f[i]
		}
		return ""
	}
	s, ok := method(at(6))
	if !ok {
		return s, fmt.Errorf("%q is no way to get an address: dhcp, auto6 or none", at(6))
	}
	if at(0) != "" {
		s.Off = false // "none" means: as given
	}
	s.Hostname = at(4)
	var err error
	if at(5) != "" {
		if s.Device, err = card(at(5)); err != nil {
			return s, err
		}
	}
	if s.Off {
		return s, nil
	}
	if at(0) != "" {
		if s.Address, err = prefix(at(0), at(3)); err != nil {
			return s, err
		}
		if s.Gateway, err = optional(at(2)); err != nil {
			return s, err
		}
	}
	if _, err := strconv.Atoi(at(7)); err == nil { // dracut's: MTU and hardware address
		s.MTU, err = mtu(at(7))
		return s, err
	}
	return addDNS(s, at(7), at(8))
}

// parseLive reads DEVICE:CLIENT:NETMASK:GATEWAY:DNS and DEVICE:dhcp.
func parseLive(text string) ([]Settings, error) {
	var out []Settings
	for _, part := range strings.Split(text, ",") {
		f := append(splitFields(part), "", "", "", "")
		if f[0] == "" || f[1] == "" {
			return nil, fmt.Errorf("ip=%s: neither an address nor a way to get one", text)
		}
		s, auto := method(f[1])
		device, err := card(f[0])
		if auto && f[2] != "" {
			s.MTU, err = mtu(f[2])
		}
		if !auto && err == nil {
			if s.Address, err = prefix(f[1], f[2]); err == nil {
				s.Gateway, err = optional(f[3])
			}
			if err == nil {
				s, err = addDNS(s, f[4])
			}
		}
		if err != nil {
			return nil, fmt.Errorf("ip=%s: %w", text, err)
		}
		s.Device = device
		out = append(out, s)
	}
	return out, nil
}

func addDNS(s Settings, names ...string) (Settings, error) {
	for _, n := range names {
		a, err := optional(n)
		if err != nil {
			return s, err
		}
		if a.IsValid() {
			s.DNS = append(s.DNS, a)
		}
	}
	return s, nil
}

func optional(text string) (netip.Addr, error) {
	if text == "" {
		return netip.Addr{}, nil
	}
	a, err := netip.ParseAddr(text)
	return a.Unmap(), err
}

// prefix joins an address with a mask: 255.255.255.0, 24, or none for the
// mask of the address's old class, as the kernel does. That of IPv6 is a
// number; without one it is 64.
func prefix(addr, mask string) (netip.Prefix, error) {
	a, err := optional(addr)
	if err != nil {
		return netip.Prefix{}, err
	}
	if !a.IsValid() {
		return netip.Prefix{}, fmt.Errorf("an address is missing")
	}
	bits, err := strconv.Atoi(mask)
	switch {
	case mask == "" && a.Is6():
		bits = 64
	case mask == "":
		bits = classBits(a)
	case err != nil && a.Is6():
		return netip.Prefix{}, fmt.Errorf("%s is no number of bits", mask)
	case err != nil:
		if bits, err = maskBits(mask); err != nil {
			return netip.Prefix{}, err
		}
	}
	if bits < 1 || bits > a.BitLen() {
		return netip.Prefix{}, fmt.Errorf("%s is no network mask", mask)
	}
	return netip.PrefixFrom(a.WithZone(""), bits), nil
}

func classBits(a netip.Addr) int {
	switch b := a.As4()[0]; {
	case b < 128:
		return 8
	case b < 192:
		return 16
	}
	return 24
}

// maskBits counts the leading ones of a mask, which must be all its ones.
func maskBits(mask string) (int, error) {
	a, err := netip.ParseAddr(mask)
	if err != nil || !a.Is4() {
		return 0, fmt.Errorf("%s is no network mask", mask)
	}
	for bits := 0; bits <= 32; bits++ {
		if p := netip.PrefixFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), bits).Masked(); p.Addr() == a {
			return bits, nil
		}
	}
	return 0, fmt.Errorf("%s is no network mask", mask)
}

// unique keeps the first of equal addresses.
func unique(list []netip.Addr) []netip.Addr {
	var out []netip.Addr
	for _, a := range list {
		if a.IsValid() && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}
