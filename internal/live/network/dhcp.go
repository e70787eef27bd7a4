package network

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
)

// One question is repeated so often, waiting so long each time; ctx ends it
// earlier.
const (
	questionWait    = 3 * time.Second
	questionRepeats = 20
)

// ask gets a lease for a card that is up and has a cable in it.
func ask(ctx context.Context, device, hostname string) (Lease, error) {
	client, err := nclient4.New(device, nclient4.WithTimeout(questionWait), nclient4.WithRetry(questionRepeats))
	if err != nil {
		return Lease{}, fmt.Errorf("%s: %w", device, err)
	}
	defer client.Close()
	got, err := client.Request(ctx, question(hostname)...)
	if err != nil {
		return Lease{}, fmt.Errorf("%s: no lease by DHCP: %w", device, err)
	}
	return leaseOf(device, got.ACK)
}

// question is what we tell and want to know beyond an address.
func question(hostname string) []dhcpv4.Modifier {
	mods := []dhcpv4.Modifier{dhcpv4.WithRequestedOptions(dhcpv4.OptionSubnetMask, dhcpv4.OptionRouter, dhcpv4.OptionDomainName,
		dhcpv4.OptionDomainNameServer, dhcpv4.OptionInterfaceMTU, dhcpv4.OptionNTPServers)}
	if hostname != "" {
		mods = append(mods, dhcpv4.WithOption(dhcpv4.OptHostName(hostname)))
	}
	return mods
}

// leaseOf reads a server's answer. It comes from the network: a wrong mask or
// name must not get further.
func leaseOf(device string, ack *dhcpv4.DHCPv4) (Lease, error) {
	l := Lease{Device: device, Lasts: ack.IPAddressLeaseTime(0), Packet: ack.ToBytes(), Server: addr(ack.ServerIdentifier())}
	ip := addr(ack.YourIPAddr)
	if !ip.IsValid() || ip.IsUnspecified() || ip.IsMulticast() || ip.IsLoopback() {
		return Lease{}, fmt.Errorf("%s: the DHCP server gave the address %s, which is none", device, ack.YourIPAddr)
	}
	bits := classBits(ip)
	if ones, of := ack.SubnetMask().Size(); of == 32 && ones > 0 {
		bits = ones
	}
	l.Address = netip.PrefixFrom(ip, bits)
	if routers := ack.Router(); len(routers) > 0 {
		l.Gateway = addr(routers[0])
	}
	for _, d := range ack.DNS() {
		l.DNS = append(l.DNS, addr(d))
	}
	l.DNS = unique(l.DNS)
	for _, t := range ack.NTPServers() {
		l.NTP = append(l.NTP, addr(t))
	}
	l.NTP = unique(l.NTP)
	if name := ack.DomainName(); !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
		l.Domain = name
	}
	if mtu, err := dhcpv4.GetUint16(dhcpv4.OptionInterfaceMTU, ack.Options); err == nil {
		l.MTU = int(mtu)
	}
	return l, nil
}

func addr(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip.To4())
	return a
}

// Hold keeps the lease of a card alive until ctx ends: it renews it at half of
// its time, and asks anew when that is refused or the time is over.
func (s System) Hold(ctx context.Context, l Lease) error {
	for l.Lasts > 0 && len(l.Packet) > 0 {
		begin := time.Now()
		next, err := l, error(nil)
		for wait := l.Lasts / 2; ; wait = max(time.Until(begin.Add(l.Lasts))/2, time.Minute) {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(wait):
			}
			if time.Since(begin) < l.Lasts {
				next, err = renew(ctx, l)
			} else {
				next, err = ask(ctx, l.Device, l.Hostname)
			}
			if err == nil {
				break
			}
		}
		next.Hostname = l.Hostname
		if err := s.apply(next); err != nil {
			return err
		}
		l = next
	}
	return nil
}

func renew(ctx context.Context, l Lease) (Lease, error) {
	ack, err := dhcpv4.FromBytes(l.Packet)
	if err != nil {
		return Lease{}, err
	}
	client, err := nclient4.New(l.Device, nclient4.WithTimeout(questionWait), nclient4.WithRetry(3))
	if err != nil {
		return Lease{}, err
	}
	defer client.Close()
	got, err := client.Renew(ctx, &nclient4.Lease{Offer: ack, ACK: ack, CreationTime: time.Now()}, question(l.Hostname)...)
	if err != nil {
		return Lease{}, err
	}
	return leaseOf(l.Device, got.ACK)
}
