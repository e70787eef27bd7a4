package network

import (
	"net"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

func FuzzLeaseOf(f *testing.F) {
	m, err := dhcpv4.New(dhcpv4.WithYourIP(net.IPv4(10, 9, 0, 77)), dhcpv4.WithNetmask(net.CIDRMask(24, 32)),
		dhcpv4.WithRouter(net.IPv4(10, 9, 0, 1)), dhcpv4.WithDNS(net.IPv4(1, 1, 1, 1)), dhcpv4.WithOption(dhcpv4.OptDomainName("a\nb")))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(m.ToBytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		ack, err := dhcpv4.FromBytes(b)
		if err != nil {
			return
		}
		l, err := leaseOf("eth0", ack)
		if err != nil {
			return
		}
		if !l.Address.IsValid() || l.Address.Bits() < 1 {
			t.Errorf("address %v", l.Address)
		}
		for _, r := range l.Domain {
			if r <= ' ' || r > '~' {
				t.Errorf("domain %q gets into resolv.conf", l.Domain)
			}
		}
	})
}
