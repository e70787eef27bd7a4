package network

import (
	"context"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/server4"
	"github.com/vishvananda/netlink"
)

// inside runs the test of that name again, in a network of its own:
//
//	server side "lan" 10.9.0.1/24 ═══ "card", ours
func inside(t *testing.T) bool {
	t.Helper()
	if os.Getenv("DOPPEL_TEST_NETWORK") != "" {
		return true
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root for a network of its own")
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "DOPPEL_TEST_NETWORK=1")
	// The host name is changed too.
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS}
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), "--- SKIP") {
		t.Skip(string(out))
	}
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

func pair(t *testing.T) {
	t.Helper()
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "lan"}, PeerName: "card"}); err != nil {
		t.Skip("no virtual cable here: ", err)
	}
	lan, err := netlink.LinkByName("lan")
	if err != nil {
		t.Fatal(err)
	}
	a, _ := netlink.ParseAddr("10.9.0.1/24")
	if err := netlink.AddrAdd(lan, a); err != nil {
		t.Fatal(err)
	}
}

// plug puts the cable in: a veth has carrier when its other end is up.
func plug(t *testing.T) {
	t.Helper()
	lan, err := netlink.LinkByName("lan")
	if err == nil {
		err = netlink.LinkSetUp(lan)
	}
	if err != nil {
		t.Error(err)
	}
}

func dhcpServer(t *testing.T, lease time.Duration, requests *atomic.Int32) {
	t.Helper()
	answer := func(conn net.PacketConn, peer net.Addr, m *dhcpv4.DHCPv4) {
		kind := dhcpv4.MessageTypeOffer
		if m.MessageType() == dhcpv4.MessageTypeRequest {
			kind = dhcpv4.MessageTypeAck
			requests.Add(1)
		}
		r, err := dhcpv4.NewReplyFromRequest(m, dhcpv4.WithMessageType(kind), dhcpv4.WithYourIP(net.IPv4(10, 9, 0, 77)),
			dhcpv4.WithServerIP(net.IPv4(10, 9, 0, 1)), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(10, 9, 0, 1))),
			dhcpv4.WithNetmask(net.CIDRMask(24, 32)), dhcpv4.WithRouter(net.IPv4(10, 9, 0, 1)),
			dhcpv4.WithDNS(net.IPv4(10, 9, 0, 1), net.IPv4(10, 9, 0, 2)), dhcpv4.WithLeaseTime(uint32(lease.Seconds())),
			dhcpv4.WithOption(dhcpv4.OptDomainName("lab.example")))
		if err != nil {
			return
		}
		conn.WriteTo(r.ToBytes(), &net.UDPAddr{IP: net.IPv4bcast, Port: 68})
	}
	s, err := server4.NewServer("lan", &net.UDPAddr{IP: net.IPv4zero, Port: 67}, answer)
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve()
	t.Cleanup(func() { s.Close() })
}

func system(t *testing.T) System {
	dir := t.TempDir()
	return System{State: filepath.Join(dir, "network"), Resolv: filepath.Join(dir, "resolv.conf")}
}

func addresses(t *testing.T) []string {
	t.Helper()
	l, err := netlink.LinkByName("card")
	if err != nil {
		t.Fatal(err)
	}
	list, err := netlink.AddrList(l, netlink.FAMILY_V4)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, a := range list {
		out = append(out, a.IPNet.String())
	}
	return out
}

// TestDHCP plugs the cable in while Up is waiting.
func TestDHCP(t *testing.T) {
	if !inside(t) {
		return
	}
	pair(t)
	var requests atomic.Int32
	dhcpServer(t, 2*time.Second, &requests)
	time.AfterFunc(300*time.Millisecond, func() { plug(t) })
	s := system(t)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	l, err := s.Up(ctx, Settings{Device: "card"})
	if err != nil {
		t.Fatal(err)
	}
	if l.Address != netip.MustParsePrefix("10.9.0.77/24") || l.Gateway != netip.MustParseAddr("10.9.0.1") || l.Lasts != 2*time.Second {
		t.Errorf("lease %+v", l)
	}
	if got := addresses(t); len(got) != 1 || got[0] != "10.9.0.77/24" {
		t.Errorf("addresses %v", got)
	}
	routes, err := netlink.RouteGet(net.IPv4(192, 0, 2, 1))
	if err != nil || len(routes) == 0 || !routes[0].Gw.Equal(net.IPv4(10, 9, 0, 1)) {
		t.Errorf("route outside: %v, %v", routes, err)
	}
	b, err := os.ReadFile(s.Resolv)
	if want := "search lab.example\nnameserver 10.9.0.1\nnameserver 10.9.0.2\n"; err != nil || string(b) != want {
		t.Errorf("resolv.conf %q, %v", b, err)
	}
	hold, stop := context.WithTimeout(context.Background(), 1500*time.Millisecond)
	defer stop()
	if err := s.Hold(hold, l); err != nil || requests.Load() < 2 {
		t.Errorf("not renewed: %d requests, %v", requests.Load(), err)
	}
	if err := s.Down("card"); err != nil || len(addresses(t)) != 0 {
		t.Errorf("down: %v, %v left", err, addresses(t))
	}
	if list, err := s.Leases(); err != nil || len(list) != 0 {
		t.Errorf("leases after down: %v, %v", list, err)
	}
}

func TestStatic(t *testing.T) {
	if !inside(t) {
		return
	}
	pair(t)
	plug(t)
	list, err := ParseIP("card:10.9.0.5:255.255.255.0:10.9.0.1:10.9.0.3")
	if err != nil {
		t.Fatal(err)
	}
	s := system(t)
	for range 2 { // again is no error
		if _, err := s.Up(t.Context(), list[0]); err != nil {
			t.Fatal(err)
		}
	}
	if got := addresses(t); len(got) != 1 || got[0] != "10.9.0.5/24" {
		t.Errorf("addresses %v", got)
	}
	if b, _ := os.ReadFile(s.Resolv); string(b) != "nameserver 10.9.0.3\n" {
		t.Errorf("resolv.conf %q", b)
	}
}

// TestWhatIsMissing sees each reason named.
func TestWhatIsMissing(t *testing.T) {
	if !inside(t) {
		return
	}
	pair(t)
	try := func(device, word string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		defer cancel()
		if _, err := system(t).Up(ctx, Settings{Device: device}); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %v, want %q", device, err, word)
		}
	}
	try("eth9", "no network card eth9")
	try("", "no network card")
	try("card", "cable")
	plug(t)
	try("card", "DHCP")
}
