package network

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestLinks(t *testing.T) {
	mac := "52:54:00:ab:cd:56"
	for _, tt := range []struct {
		key, value string
		want       Links
	}{
		{"ifname", "lan:52:54:00:AB:CD:56", Links{Names: []Name{{"lan", mac}}}},
		{"ifname", "lan:52-54-00-ab-cd-56", Links{Names: []Name{{"lan", mac}}}},
		{"bond", "bond0:eth0,eth1:mode=802.3ad,miimon=50,lacp_rate=fast,xmit_hash_policy=layer3+4:9000",
			Links{Bonds: []Bond{{"bond0", []string{"eth0", "eth1"}, map[string]string{"mode": "802.3ad", "miimon": "50", "lacp_rate": "fast", "xmit_hash_policy": "layer3+4"}, 9000}}}},
		{"bond", "", Links{Bonds: []Bond{{"bond0", []string{"eth0", "eth1"}, map[string]string{}, 0}}}},
		{"bond", "b:52-54-00-ab-cd-56,eth1:mode=1,arp_interval=100,arp_ip_target=10.0.0.1;10.0.0.2",
			Links{Bonds: []Bond{{"b", []string{mac, "eth1"}, map[string]string{"mode": "1", "arp_interval": "100", "arp_ip_target": "10.0.0.1;10.0.0.2"}, 0}}}},
		{"vlan", "eth0.5:eth0", Links{VLANs: []VLAN{{"eth0.5", "eth0", 5}}}},
		{"vlan", "vlan0005:bond0", Links{VLANs: []VLAN{{"vlan0005", "bond0", 5}}}},
		{"rd.route", "10.1.2.3/16:192.168.0.1:eth0", Links{Routes: []Route{{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParseAddr("192.168.0.1"), "eth0"}}}},
		{"rd.route", "[fd00::/8]:[fe80::1]:eth0", Links{Routes: []Route{{netip.MustParsePrefix("fd00::/8"), netip.MustParseAddr("fe80::1"), "eth0"}}}},
		{"nameserver", "10.0.0.53", Links{DNS: []netip.Addr{netip.MustParseAddr("10.0.0.53")}}},
		{"nameserver", "[fd00::53]", Links{DNS: []netip.Addr{netip.MustParseAddr("fd00::53")}}},
		{"BOOTIF", "01-52-54-00-ab-cd-56", Links{BootMAC: mac}},
	} {
		var l Links
		if err := l.Take(tt.key, tt.value); err != nil || !reflect.DeepEqual(l, tt.want) {
			t.Errorf("%s=%s: %+v, %v", tt.key, tt.value, l, err)
		}
	}
	for _, bad := range []string{"ifname=lan", "ifname=:52:54:00:ab:cd:56", "ifname=a/b:52:54:00:ab:cd:56", "bond=b:eth0:mode=dance", "bond=b:eth0:colour=red",
		"bond=b:eth0:miimon=x", "bond=b:eth0:mode=1:12", "bond=b:eth0:arp_ip_target=x", "bond=b:52:54:00:ab:cd:56", "bond=b:,", "vlan=eth0:eth0", "vlan=vlan0:eth0", "vlan=vlan4095:eth0",
		"vlan=vlan5", "rd.route=10.0.0.0/8", "rd.route=x:y", "rd.route=10.0.0.0/8:10.0.0.1:a:b", "nameserver=x", "BOOTIF=01-52", "magic=1"} {
		key, value, _ := strings.Cut(bad, "=")
		var l Links
		if err := l.Take(key, value); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: taken as %+v, %v", bad, l, err)
		}
	}
}

func TestWireless(t *testing.T) {
	sys := t.TempDir()
	for device, class := range map[string]string{"0000:00:03.0": "0x020000", "0000:02:00.0": "0x028000"} {
		dir := filepath.Join(sys, "bus/pci/devices", device)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "class"), []byte(class+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := Wireless(sys); !reflect.DeepEqual(got, []string{"0000:02:00.0"}) {
		t.Errorf("%q", got)
	}
}

func FuzzLinks(f *testing.F) {
	f.Add("bond", "bond0:eth0,eth1:mode=802.3ad:9000")
	f.Add("vlan", "eth0.5:eth0")
	f.Add("rd.route", "[fd00::/8]:[fe80::1]:eth0")
	f.Fuzz(func(t *testing.T, key, value string) {
		var l Links
		if l.Take(key, value) != nil {
			return
		}
		for _, v := range l.VLANs {
			if v.ID < 1 || v.ID > 4094 || checkName(v.Name) != nil {
				t.Errorf("%s=%s: %+v", key, value, v)
			}
		}
	})
}
