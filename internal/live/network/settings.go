// Package network brings up IPv4 on the live system's network cards when a job
// needs it: by DHCP or with given addresses. It mounts nothing and knows no
// protocol above.
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
	Off      bool // leave the network alone
}

// Static tells whether the address is given.
func (s Settings) Static() bool { return s.Address.IsValid() }

// ParseIP reads the value of ip= on the kernel command line, which may be
//
//	dhcp                                                   any card (also on, any, both, "")
//	none                                                   no network (also off)
//	eth0:dhcp                                              that card
//	CLIENT:SERVER:GATEWAY:NETMASK:HOST:DEVICE:AUTO:DNS:DNS the kernel's own (nfsroot.rst)
//	DEVICE:CLIENT:NETMASK:GATEWAY:DNS,…                    Clonezilla's and Debian live's, several by comma
//
// with fields left out from the end or empty.
func ParseIP(text string) ([]Settings, error) {
	if strings.ContainsAny(text, "[]") {
		return nil, fmt.Errorf("ip=%s: only IPv4 is known here", text)
	}
	if auto, ok := method(text); ok {
		return []Settings{auto}, nil
	}
	fields := strings.Split(text, ":")
	if fields[0] != "" && !isAddr(fields[0]) {
		return parseLive(text)
	}
	s, err := parseKernel(fields)
	if err != nil {
		return nil, fmt.Errorf("ip=%s: %w", text, err)
	}
	return []Settings{s}, nil
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
		return s, fmt.Errorf("%q is no way to get an address: dhcp or none", at(6))
	}
	if at(0) != "" {
		s.Off = false // "none" means: as given
	}
	if s.Device, s.Hostname = at(5), at(4); s.Off {
		return s, nil
	}
	if at(0) != "" {
		var err error
		if s.Address, err = prefix(at(0), at(3)); err != nil {
			return s, err
		}
		if s.Gateway, err = optional(at(2)); err != nil {
			return s, err
		}
	}
	return addDNS(s, at(7), at(8))
}

// parseLive reads DEVICE:CLIENT:NETMASK:GATEWAY:DNS and DEVICE:dhcp.
func parseLive(text string) ([]Settings, error) {
	var out []Settings
	for _, part := range strings.Split(text, ",") {
		f := append(strings.Split(part, ":"), "", "", "", "")
		if f[0] == "" || f[1] == "" {
			return nil, fmt.Errorf("ip=%s: neither an address nor a way to get one", text)
		}
		s, auto := method(f[1])
		var err error
		if !auto {
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
		s.Device = f[0]
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
	if err == nil && !a.Is4() {
		err = fmt.Errorf("%s: only IPv4 is known here", text)
	}
	return a, err
}

// prefix joins an address with a mask: 255.255.255.0, 24, or none for the
// mask of the address's old class, as the kernel does.
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
	case mask == "":
		bits = classBits(a)
	case err != nil:
		if bits, err = maskBits(mask); err != nil {
			return netip.Prefix{}, err
		}
	}
	if bits < 1 || bits > 32 {
		return netip.Prefix{}, fmt.Errorf("%s is no network mask", mask)
	}
	return netip.PrefixFrom(a, bits), nil
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
