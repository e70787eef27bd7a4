package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Lease is what a card has been given, by hand or by DHCP.
type Lease struct {
	Device    string        `json:"device"`
	Address   netip.Prefix  `json:"address"`
	Gateway   netip.Addr    `json:"gateway"` // not valid: none
	DNS       []netip.Addr  `json:"dns"`
	Domain    string        `json:"domain,omitempty"`
	Hostname  string        `json:"hostname,omitempty"`
	MTU       int           `json:"mtu,omitempty"`       // bytes; 0 = the card's own
	Server    netip.Addr    `json:"server"`              // which gave it by DHCP
	Announced bool          `json:"announced,omitempty"` // IPv6, by a router; the kernel keeps it
	Lasts     time.Duration `json:"lasts,omitempty"`     // 0 = for ever
	NTP       []netip.Addr  `json:"ntp,omitempty"`       // servers of time
	Packet    []byte        `json:"packet,omitempty"`    // the server's answer, for renewing
}

// System says where the results go.
type System struct {
	State  string // folder for what each card has been given; "" is /run/doppel/network
	Resolv string // file for name servers; "" is /etc/resolv.conf
}

func (s System) state() string {
	if s.State == "" {
		return "/run/doppel/network"
	}
	return s.State
}

func (s System) resolv() string {
	if s.Resolv == "" {
		return "/etc/resolv.conf"
	}
	return s.Resolv
}

// Up brings the network up as said, waiting for the card and for its cable
// until ctx ends. Without a device named, the first card that gets an answer
// is it.
func (s System) Up(ctx context.Context, want Settings) (Lease, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	updates := make(chan netlink.LinkUpdate, 64)
	if err := netlink.LinkSubscribeWithOptions(updates, ctx.Done(), netlink.LinkSubscribeOptions{ListExisting: true}); err != nil {
		return Lease{}, fmt.Errorf("network: %w", err)
	}
	w := watch{want: want, results: make(chan result, 16), started: map[int]bool{}, up: map[int]bool{}}
	for {
		select {
		case u, ok := <-updates:
			if !ok {
				return Lease{}, w.why()
			}
			w.link(ctx, u.Link)
		case r := <-w.results:
			if r.err != nil {
				w.last = r.err
				if want.Static() {
					return Lease{}, r.err
				}
				continue
			}
			return r.lease, s.apply(r.lease)
		case <-ctx.Done():
			return Lease{}, w.why()
		}
	}
}

type result struct {
	lease Lease
	err   error
}

// watch is the state of one Up.
type watch struct {
	want    Settings
	results chan result
	up      map[int]bool // cards seen and switched on, by index
	started map[int]bool // cards with a cable, being asked for
	last    error
}

// link takes note of a card: it is switched on, and when it has a cable an
// address is got for it.
func (w *watch) link(ctx context.Context, l netlink.Link) {
	a := l.Attrs()
	if !w.wanted(l) {
		return
	}
	if !w.up[a.Index] {
		w.up[a.Index] = true
		if err := netlink.LinkSetUp(l); err != nil {
			w.last = fmt.Errorf("%s cannot be switched on: %w", a.Name, err)
			return
		}
	}
	cable := a.RawFlags&unix.IFF_LOWER_UP != 0 && a.RawFlags&unix.IFF_UP != 0
	if w.started[a.Index] || (!cable && !w.want.Static()) {
		return
	}
	w.started[a.Index] = true
	if w.want.Static() {
		w.results <- result{lease: Lease{Device: a.Name, Address: w.want.Address, Gateway: w.want.Gateway, DNS: w.want.DNS,
			Hostname: w.want.Hostname, MTU: w.want.MTU}}
		return
	}
	go func() {
		var lease Lease
		var err error
		if w.want.Router {
			lease, err = announced(ctx, l)
			lease.Hostname = w.want.Hostname
		} else {
			lease, err = ask(ctx, a.Name, w.want.Hostname)
		}
		lease.DNS = unique(append(slices.Clone(w.want.DNS), lease.DNS...))
		if w.want.MTU != 0 {
			lease.MTU = w.want.MTU
		}
		w.results <- result{lease, err}
	}()
}

// wanted: the card named, or any Ethernet card that stands for hardware.
func (w *watch) wanted(l netlink.Link) bool {
	a := l.Attrs()
	if w.want.Device != "" {
		return a.Name == w.want.Device || strings.EqualFold(a.HardwareAddr.String(), w.want.Device)
	}
	return l.Type() == "device" && a.Flags&net.FlagLoopback == 0 && len(a.HardwareAddr) == 6
}

// why says what was missing when the time was over.
func (w *watch) why() error {
	switch {
	case len(w.up) == 0 && w.want.Device != "":
		return fmt.Errorf("there is no network card %s", w.want.Device)
	case len(w.up) == 0:
		return errors.New("there is no network card that this system has a driver for")
	case len(w.started) == 0:
		return errors.New("no network card has a cable in it: plug one in and try again")
	case w.last != nil && !errors.Is(w.last, context.Canceled):
		return w.last
	}
	if w.want.Router {
		return errors.New("no router announced an IPv6 address: check the network, or give one with ip=")
	}
	return errors.New("no DHCP server answered: check the network, or give addresses with ip=")
}

// apply gives the card what it was granted, instead of what it had.
func (s System) apply(l Lease) error {
	link, err := netlink.LinkByName(l.Device)
	if err != nil {
		return fmt.Errorf("%s: %w", l.Device, err)
	}
	if l.MTU >= 576 {
		_ = netlink.LinkSetMTU(link, l.MTU) // some cards allow less than the server says
	}
	addr := &netlink.Addr{IPNet: ipNet(l.Address)}
	if err := setAddress(link, addr, l); err != nil {
		return fmt.Errorf("%s: address %s: %w", l.Device, l.Address, err)
	}
	if !l.v6() {
		if err := removeOthers(link, addr.IPNet); err != nil {
			return err
		}
	}
	if l.Gateway.IsValid() {
		route := &netlink.Route{LinkIndex: link.Attrs().Index, Gw: l.Gateway.AsSlice(), Priority: 100 + link.Attrs().Index}
		if !l.Address.Contains(l.Gateway) {
			route.SetFlag(netlink.FLAG_ONLINK) // some servers give single addresses
		}
		if err := netlink.RouteReplace(route); err != nil {
			return fmt.Errorf("%s: gateway %s: %w", l.Device, l.Gateway, err)
		}
	}
	if l.Hostname != "" {
		_ = unix.Sethostname([]byte(l.Hostname))
	}
	return s.remember(l)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func (l Lease) v6() bool { return l.Address.Addr().Is6() }

// setAddress gives the card its address; one that a router announced it has.
func setAddress(link netlink.Link, addr *netlink.Addr, l Lease) error {
	if l.Announced {
		return nil
	}
	return netlink.AddrReplace(link, addr)
}

func removeOthers(link netlink.Link, keep *net.IPNet) error {
	list, err := netlink.AddrList(link, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("%s: %w", link.Attrs().Name, err)
	}
	for _, a := range list {
		if keep != nil && a.IPNet.String() == keep.String() {
			continue
		}
		if err := netlink.AddrDel(link, &a); err != nil {
			return fmt.Errorf("%s: address %s: %w", link.Attrs().Name, a.IPNet, err)
		}
	}
	return nil
}

// Down takes the addresses of a card away and switches it off.
func (s System) Down(device string) error {
	link, err := netlink.LinkByName(device)
	if err != nil {
		return fmt.Errorf("%s: %w", device, err)
	}
	if err := removeOthers(link, nil); err != nil {
		return err
	}
	if err := s.forget(device); err != nil {
		return err
	}
	if err := netlink.LinkSetDown(link); err != nil {
		return fmt.Errorf("%s: %w", device, err)
	}
	return s.writeResolv()
}

// file is where the state of a card is kept; IPv6 has one of its own.
func (s System) file(device string, v6 bool) string {
	name := strings.ReplaceAll(device, "/", "_")
	if v6 {
		name += "-ipv6"
	}
	return filepath.Join(s.state(), name+".json")
}

func (s System) forget(device string) error {
	for _, v6 := range []bool{false, true} {
		if err := os.Remove(s.file(device, v6)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// remember keeps the lease for Status, for renewing and for the name servers.
func (s System) remember(l Lease) error {
	if err := os.MkdirAll(s.state(), 0o755); err != nil {
		return err
	}
	b, err := json.Marshal(l)
	if err != nil {
		return err
	}
	if err := replace(s.file(l.Device, l.v6()), b); err != nil {
		return err
	}
	return s.writeResolv()
}

func replace(name string, b []byte) error {
	if err := os.WriteFile(name+".new", b, 0o644); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// Leases gives what the cards have, by name.
func (s System) Leases() ([]Lease, error) {
	files, err := filepath.Glob(filepath.Join(s.state(), "*.json"))
	if err != nil {
		return nil, err
	}
	out := []Lease{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var l Lease
		if err := json.Unmarshal(b, &l); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		out = append(out, l)
	}
	return out, nil
}

// writeResolv writes the name servers of all cards for the C library and Go.
func (s System) writeResolv() error {
	leases, err := s.Leases()
	if err != nil {
		return err
	}
	var servers []netip.Addr
	var text strings.Builder
	for _, l := range leases {
		servers = append(servers, l.DNS...)
		if l.Domain != "" && text.Len() == 0 {
			fmt.Fprintf(&text, "search %s\n", l.Domain)
		}
	}
	for _, a := range unique(servers) {
		fmt.Fprintf(&text, "nameserver %s\n", a)
	}
	return replace(s.resolv(), []byte(text.String()))
}
