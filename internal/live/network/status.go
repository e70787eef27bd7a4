package network

import (
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Link is a network device that there is.
type Link struct {
	Device    string   `json:"device"`
	MAC       string   `json:"mac"`
	Kind      string   `json:"kind"` // Ethernet, bond, VLAN, …
	Up        bool     `json:"up"`
	Cable     bool     `json:"cable"`
	Of        string   `json:"of,omitempty"` // the bond that it is a part of, or the device that it lies on
	Addresses []string `json:"addresses"`    // without those of one cable only
}

// List gives the network devices but for the loopback.
func List() ([]Link, error) {
	all, err := netlink.LinkList()
	if err != nil {
		return nil, err
	}
	names := map[int]string{}
	for _, l := range all {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	out := []Link{}
	for _, l := range all {
		a := l.Attrs()
		if a.Flags&net.FlagLoopback != 0 {
			continue
		}
		x := Link{Device: a.Name, MAC: a.HardwareAddr.String(), Kind: kind(l), Up: a.RawFlags&unix.IFF_UP != 0,
			Cable: a.RawFlags&unix.IFF_LOWER_UP != 0, Of: names[max(a.MasterIndex, a.ParentIndex)], Addresses: []string{}}
		addrs, err := netlink.AddrList(l, netlink.FAMILY_ALL)
		if err != nil {
			return nil, err
		}
		for _, n := range addrs {
			if n.IP.IsGlobalUnicast() {
				x.Addresses = append(x.Addresses, n.IPNet.String())
			}
		}
		out = append(out, x)
	}
	return out, nil
}

func kind(l netlink.Link) string {
	switch l.Type() {
	case "device":
		return "Ethernet"
	case "vlan":
		return "VLAN"
	}
	return l.Type()
}

// Wireless names the wireless cards that are seen on PCI, for which this
// system has no drivers: class 0x0280xx, other network controllers, is what
// they are in (PCI Code and ID Assignment Specification).
func Wireless(sys string) []string {
	var out []string
	files, _ := filepath.Glob(filepath.Join(sys, "bus/pci/devices/*/class"))
	for _, file := range files {
		if b, err := os.ReadFile(file); err == nil && strings.HasPrefix(string(b), "0x0280") {
			out = append(out, filepath.Base(filepath.Dir(file)))
		}
	}
	return out
}
