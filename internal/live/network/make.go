package network

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// link makes what netlink takes for a bond.
func (b Bond) link() (*netlink.Bond, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = b.Name, b.MTU
	n := netlink.NewLinkBond(attrs)
	n.Mode, n.Miimon = netlink.BOND_MODE_BALANCE_RR, 100
	for key, value := range b.Options {
		if err := setBond(n, key, value); err != nil {
			return nil, err
		}
	}
	return n, nil
}

func setBond(n *netlink.Bond, key, value string) error {
	numbers := map[string]*int{"miimon": &n.Miimon, "updelay": &n.UpDelay, "downdelay": &n.DownDelay, "min_links": &n.MinLinks,
		"resend_igmp": &n.ResendIgmp, "num_grat_arp": &n.NumPeerNotif, "packets_per_slave": &n.PacketsPerSlave, "arp_interval": &n.ArpInterval}
	known := true
	switch key {
	case "mode":
		if i, err := strconv.Atoi(value); err == nil && i >= 0 && i < int(netlink.BOND_MODE_UNKNOWN) {
			n.Mode = netlink.BondMode(i)
		} else {
			n.Mode = netlink.StringToBondMode(value)
		}
		known = n.Mode != netlink.BOND_MODE_UNKNOWN
	case "lacp_rate":
		switch value {
		case "slow", "0":
			n.LacpRate = netlink.BOND_LACP_RATE_SLOW
		case "fast", "1":
			n.LacpRate = netlink.BOND_LACP_RATE_FAST
		default:
			known = false
		}
	case "xmit_hash_policy":
		n.XmitHashPolicy = netlink.StringToBondXmitHashPolicy(value)
		known = n.XmitHashPolicy != netlink.BOND_XMIT_HASH_POLICY_UNKNOWN
	case "arp_ip_target":
		for a := range strings.SplitSeq(value, ";") {
			ip := net.ParseIP(a)
			n.ArpIpTargets = append(n.ArpIpTargets, ip)
			known = known && ip.To4() != nil
		}
	default:
		to := numbers[key]
		if to == nil {
			return fmt.Errorf("the option %q is not known here: mode, lacp_rate, xmit_hash_policy, arp_ip_target, %s",
				key, strings.Join(slices.Sorted(maps.Keys(numbers)), ", "))
		}
		i, err := strconv.Atoi(value)
		*to, known = i, err == nil && i >= 0
	}
	if !known {
		return fmt.Errorf("the option %s has no value %q", key, value)
	}
	return nil
}

// Make makes the links: names first, then bonds, then VLANs, which may lie on
// bonds. It waits for cards that their drivers still look for until ctx ends.
func (l Links) Make(ctx context.Context) error {
	for _, n := range l.Names {
		if err := n.make(ctx); err != nil {
			return err
		}
	}
	for _, b := range l.Bonds {
		if err := b.make(ctx); err != nil {
			return fmt.Errorf("bond %s: %w", b.Name, err)
		}
	}
	for _, v := range l.VLANs {
		if err := v.make(ctx); err != nil {
			return fmt.Errorf("VLAN %s: %w", v.Name, err)
		}
	}
	return nil
}

func (n Name) make(ctx context.Context) error {
	link, err := await(ctx, n.MAC)
	if err != nil || link.Attrs().Name == n.Name {
		return err
	}
	_ = netlink.LinkSetDown(link) // older kernels rename nothing that is in use
	if err := netlink.LinkSetName(link, n.Name); err != nil {
		return fmt.Errorf("%s cannot be called %s: %w", link.Attrs().Name, n.Name, err)
	}
	return nil
}

func (b Bond) make(ctx context.Context) error {
	if made, err := b.claim(); made || err != nil {
		return err
	}
	var cards []netlink.Link
	for _, name := range b.Cards {
		c, err := await(ctx, name)
		if err != nil {
			return err
		}
		cards = append(cards, c)
	}
	n, err := b.add()
	if err != nil {
		return err
	}
	for _, c := range cards {
		if err := netlink.LinkSetDown(c); err != nil { // else it cannot join
			return fmt.Errorf("%s: %w", c.Attrs().Name, err)
		}
		if err := netlink.LinkSetMaster(c, n); err != nil {
			return fmt.Errorf("%s cannot join: %w", c.Attrs().Name, err)
		}
		if err := netlink.LinkSetUp(c); err != nil {
			return fmt.Errorf("%s: %w", c.Attrs().Name, err)
		}
	}
	return netlink.LinkSetUp(n)
}

// claim makes the name of the bond free, unless the bond is there with cards in
// it, made before. One without any is removed: the kernel's module makes a bond0 with the defaults when it is loaded
// (max_bonds, Documentation/networking/bonding.rst of Linux).
func (b Bond) claim() (made bool, err error) {
	there, err := netlink.LinkByName(b.Name)
	if err != nil {
		return false, nil
	}
	if there.Type() != "bond" {
		return false, fmt.Errorf("another device has that name, of the kind %s", there.Type())
	}
	links, err := netlink.LinkList()
	if err != nil {
		return false, err
	}
	if slices.ContainsFunc(links, func(l netlink.Link) bool { return l.Attrs().MasterIndex == there.Attrs().Index }) {
		return true, nil
	}
	return false, netlink.LinkDel(there)
}

// add makes the bond without its cards. It may be what has the module loaded.
func (b Bond) add() (*netlink.Bond, error) {
	n, err := b.link()
	if err != nil {
		return nil, err
	}
	if err = netlink.LinkAdd(n); errors.Is(err, unix.EEXIST) {
		if _, err = b.claim(); err == nil {
			err = netlink.LinkAdd(n)
		}
	}
	return n, err
}

func (v VLAN) make(ctx context.Context) error {
	if _, err := netlink.LinkByName(v.Name); err == nil {
		return nil
	}
	parent, err := await(ctx, v.Device)
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(parent); err != nil {
		return fmt.Errorf("%s: %w", v.Device, err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex = v.Name, parent.Attrs().Index
	n := &netlink.Vlan{LinkAttrs: attrs, VlanId: v.ID}
	if err := netlink.LinkAdd(n); err != nil {
		return err
	}
	return netlink.LinkSetUp(n)
}

// MakeRoutes makes the routes, once there are addresses.
func (l Links) MakeRoutes() error {
	for _, r := range l.Routes {
		bits := 8 * len(r.To.Addr().AsSlice())
		n := &netlink.Route{Dst: &net.IPNet{IP: r.To.Addr().AsSlice(), Mask: net.CIDRMask(r.To.Bits(), bits)}, Gw: r.Via.AsSlice()}
		if r.Device != "" {
			link, err := netlink.LinkByName(r.Device)
			if err != nil {
				return fmt.Errorf("route to %s: %s: %w", r.To, r.Device, err)
			}
			n.LinkIndex = link.Attrs().Index
		}
		if err := netlink.RouteReplace(n); err != nil {
			return fmt.Errorf("route to %s by %s: %w", r.To, r.Via, err)
		}
	}
	return nil
}

// await waits for a device by its name or hardware address.
func await(ctx context.Context, name string) (netlink.Link, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	updates := make(chan netlink.LinkUpdate, 64)
	if err := netlink.LinkSubscribeWithOptions(updates, ctx.Done(), netlink.LinkSubscribeOptions{ListExisting: true}); err != nil {
		return nil, fmt.Errorf("network: %w", err)
	}
	w := watch{want: Settings{Device: name}}
	for {
		select {
		case u, ok := <-updates:
			if !ok {
				return nil, fmt.Errorf("there is no network card %s", name)
			}
			if w.wanted(u.Link) && u.Header.Type != unix.RTM_DELLINK {
				return u.Link, nil
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("there is no network card %s", name)
		}
	}
}
