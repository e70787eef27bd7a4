package network

import (
	"context"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"doppel.live/internal/vm/lab"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Bonds and VLANs need drivers that not every kernel has. In the guest:
//
//	p0 ═ q0 ─┐
//	         ├─ bond0 ── bond0.7, ours       q0 and q1 in a bridge, br0, with br0.7
//	p1 ═ q1 ─┘
func TestBondAndVLAN(t *testing.T) {
	lab.Run(t, lab.Config{Modules: []string{"veth", "bonding max_bonds=1", "8021q", "bridge"}}, func(t *testing.T) {
		wire(t)
		s := System{State: t.TempDir(), Resolv: t.TempDir() + "/resolv.conf"}
		var l Links
		p1, err := netlink.LinkByName("p1")
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range [][2]string{
			{"ifname", "lan0:" + hardwareOf(t, "p0")},
			{"bond", "bond0:lan0," + strings.ReplaceAll(p1.Attrs().HardwareAddr.String(), ":", "-") + ":mode=active-backup,miimon=50"},
			{"vlan", "bond0.7:bond0"},
			{"rd.route", "10.8.0.0/16:10.7.0.1:bond0.7"},
		} {
			if err := l.Take(p[0], p[1]); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		for range 2 { // again is no error
			if err := l.Make(ctx); err != nil {
				t.Fatal(err)
			}
		}
		list, err := ParseIP("10.7.0.2::10.7.0.1:24::bond0.7:none")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Up(ctx, list[0]); err != nil {
			t.Fatal(err)
		}
		if err := l.MakeRoutes(); err != nil {
			t.Fatal(err)
		}
		t.Run("as the kernel shows it", func(t *testing.T) {
			for file, want := range map[string]string{
				"/sys/class/net/bond0/bonding/mode":   "active-backup 1",
				"/sys/class/net/bond0/bonding/miimon": "50",
				"/sys/class/net/bond0/bonding/slaves": "lan0 p1",
			} {
				if b, err := os.ReadFile(file); err != nil || strings.TrimSpace(string(b)) != want {
					t.Errorf("%s: %q, %v, want %s", file, b, err, want)
				}
			}
			routes, err := netlink.RouteGet(net.IPv4(10, 8, 1, 1))
			if err != nil || len(routes) == 0 || !routes[0].Gw.Equal(net.IPv4(10, 7, 0, 1)) {
				t.Errorf("route: %v, %v", routes, err)
			}
		})
		t.Run("one cable is enough", func(t *testing.T) {
			for _, broken := range []string{"q0", "q1"} {
				reaches(t)
				unplug(t, broken)
				reaches(t)
				up(t, broken)
			}
		})
		t.Run("listed", func(t *testing.T) {
			links, err := List()
			if err != nil {
				t.Fatal(err)
			}
			seen := map[string]Link{}
			for _, l := range links {
				seen[l.Device] = l
			}
			if v := seen["bond0.7"]; v.Kind != "VLAN" || v.Of != "bond0" || len(v.Addresses) != 1 || !v.Cable {
				t.Errorf("%+v", v)
			}
			if c := seen["lan0"]; c.Of != "bond0" {
				t.Errorf("%+v", c)
			}
		})
	})
}

// wire makes the other side: two cables into a switch with a host in network 7.
func wire(t *testing.T) {
	t.Helper()
	add := func(l netlink.Link) {
		if err := netlink.LinkAdd(l); err != nil {
			t.Fatalf("%s: %v", l.Attrs().Name, err)
		}
	}
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}
	add(bridge)
	for _, n := range []string{"0", "1"} {
		add(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "p" + n}, PeerName: "q" + n})
		q, err := netlink.LinkByName("q" + n)
		if err == nil {
			err = netlink.LinkSetMaster(q, bridge)
		}
		if err != nil {
			t.Fatal(err)
		}
		up(t, "q"+n)
	}
	up(t, "br0")
	add(&netlink.Vlan{LinkAttrs: netlink.LinkAttrs{Name: "br0.7", ParentIndex: bridge.Index}, VlanId: 7})
	host, err := netlink.LinkByName("br0.7")
	if err != nil {
		t.Fatal(err)
	}
	a, _ := netlink.ParseAddr("10.7.0.1/24")
	if err := netlink.AddrAdd(host, a); err != nil {
		t.Fatal(err)
	}
	up(t, "br0.7")
}

func hardwareOf(t *testing.T, name string) string {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return l.Attrs().HardwareAddr.String()
}

func up(t *testing.T, name string) {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkSetUp(l)
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func unplug(t *testing.T, name string) {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkSetDown(l)
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// reaches sees a frame go from our end through the bond and the switch to the
// host behind it: by packets, since the kernel takes a short cut between two
// addresses of its own.
func reaches(t *testing.T) {
	t.Helper()
	const kind = 0x88b5 // for local experiments (IEEE 802)
	open := func(name string) (fd int, l netlink.Link) {
		l, err := netlink.LinkByName(name)
		if err != nil {
			t.Fatal(err)
		}
		order := int(kind&0xff<<8 | kind>>8)
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, order); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: uint16(order), Ifindex: l.Attrs().Index}); err != nil {
			t.Fatal(err)
		}
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}); err != nil {
			t.Fatal(err)
		}
		return fd, l
	}
	from, ours := open("bond0.7")
	to, _ := open("br0.7")
	frame := append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, ours.Attrs().HardwareAddr...)
	frame = append(frame, kind>>8, kind&0xff)
	frame = append(frame, "here we are, with enough bytes for a frame of Ethernet......."...)
	buf := make([]byte, 200)
	for range 50 { // the bond takes some time to see that a cable is gone
		_, _ = unix.Write(from, frame) // no way out yet is told as an error
		if n, err := unix.Read(to, buf); err == nil && strings.Contains(string(buf[:n]), "here we are") {
			return
		}
	}
	t.Error("nothing comes through")
}

// The address that a router announces is taken: radvd's part is played by the
// kernel's own addresses, which have the same form.
func TestIPv6(t *testing.T) {
	if !inside(t) {
		return
	}
	pair(t)
	plug(t)
	s := system(t)
	list, err := ParseIP("card:[fd00:9::5]:64:[fd00:9::1]:[fd00:9::53]")
	if err != nil {
		t.Fatal(err)
	}
	list[0].MTU = 1400
	for range 2 {
		if _, err := s.Up(t.Context(), list[0]); err != nil {
			t.Fatal(err)
		}
	}
	four, err := ParseIP(strings.ReplaceAll(hardwareOf(t, "card"), ":", "-") + ":10.9.0.5:24")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Up(t.Context(), four[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Up(t.Context(), list[0]); err != nil { // one kind of address leaves the other alone
		t.Fatal(err)
	}
	links, err := List()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if l.Device == "card" && (len(l.Addresses) != 2 || l.Addresses[0] != "10.9.0.5/24" || l.Addresses[1] != "fd00:9::5/64") {
			t.Errorf("%+v", l)
		}
	}
	if l, err := netlink.LinkByName("card"); err != nil || l.Attrs().MTU != 1400 {
		t.Errorf("MTU: %v, %v", l, err)
	}
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V6, &netlink.Route{Dst: nil}, netlink.RT_FILTER_DST)
	if err != nil || len(routes) != 1 || !routes[0].Gw.Equal(net.ParseIP("fd00:9::1")) {
		t.Errorf("default route %v, %v", routes, err)
	}
	if b, _ := os.ReadFile(s.Resolv); string(b) != "nameserver fd00:9::53\n" {
		t.Errorf("resolv.conf %q", b)
	}
	auto, err := ParseIP("card:auto6")
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Up(t.Context(), auto[0])
	if err != nil || got.Address != netip.MustParsePrefix("fd00:9::5/64") || !got.Announced {
		t.Errorf("announced: %+v, %v", got, err)
	}
	if leases, err := s.Leases(); err != nil || len(leases) != 2 {
		t.Errorf("leases %+v, %v", leases, err)
	}
	if err := s.Down("card"); err != nil {
		t.Fatal(err)
	}
	if leases, err := s.Leases(); err != nil || len(leases) != 0 {
		t.Errorf("leases %+v, %v", leases, err)
	}
}
