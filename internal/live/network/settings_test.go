package network

import (
	"net/netip"
	"reflect"
	"testing"
)

func TestParseIP(t *testing.T) {
	p, a := netip.MustParsePrefix, netip.MustParseAddr
	for text, want := range map[string][]Settings{
		"dhcp":             {{}},
		"":                 {{}},
		"off":              {{Off: true}},
		"frommedia":        {{Off: true}},
		":::::eth1:dhcp":   {{Device: "eth1"}},
		":::::eth1:off":    {{Device: "eth1", Off: true}},
		"eth0:dhcp":        {{Device: "eth0"}},
		"10.1.2.3":         {{Address: p("10.1.2.3/8")}},
		"172.16.0.9::::::": {{Address: p("172.16.0.9/16")}},
		"192.168.7.2:192.168.7.9:192.168.7.1:255.255.255.0:lab:eth0:off:1.1.1.1:8.8.8.8:0.0.0.0": {{Device: "eth0", Hostname: "lab",
			Address: p("192.168.7.2/24"), Gateway: a("192.168.7.1"), DNS: []netip.Addr{a("1.1.1.1"), a("8.8.8.8")}}},
		"eth0:192.168.7.2:255.255.254.0:192.168.7.1:9.9.9.9": {{Device: "eth0", Address: p("192.168.7.2/23"), Gateway: a("192.168.7.1"), DNS: []netip.Addr{a("9.9.9.9")}}},
		"52-54-00-AB-cd-56:10.0.0.2:24":                      {{Device: "52:54:00:ab:cd:56", Address: p("10.0.0.2/24")}},
		":::::52-54-00-ab-cd-56:dhcp":                        {{Device: "52:54:00:ab:cd:56"}},
		"eth0:dhcp:1400":                                     {{Device: "eth0", MTU: 1400}},
		":::::eth1:dhcp:9000:52-54-00-ab-cd-56":              {{Device: "eth1", MTU: 9000}},
		"auto6":                                              {{Router: true}},
		"bond0.5:auto6":                                      {{Device: "bond0.5", Router: true}},
		"[fd00::2]::[fd00::1]:64:lab:eth0:none:[fd00::53]":   {{Device: "eth0", Hostname: "lab", Address: p("fd00::2/64"), Gateway: a("fd00::1"), DNS: []netip.Addr{a("fd00::53")}}},
		"[fe80::1]::::::":                                    {{Address: p("fe80::1/64")}},
		"eth0:[fd00::2]:48":                                  {{Device: "eth0", Address: p("fd00::2/48")}},
		"eth0:10.0.0.2:24,eth1:10.0.1.2:24":                  {{Device: "eth0", Address: p("10.0.0.2/24")}, {Device: "eth1", Address: p("10.0.1.2/24")}},
	} {
		got, err := ParseIP(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", text, got, err, want)
		}
	}
	for _, bad := range []string{"eth0", "10.0.0.300", "[fd00::2]:::129", "[fd00::2]:::255.255.0.0", "eth0:dhcp:12", "eth/0:dhcp", "dhcp6", ":::::eth0:dhcp6", "eth0:10.0.0.1:255.0.255.0", "10.0.0.1:::33", "10.0.0.1::x", "::::::magic", "10.0.0.1:::0"} {
		if got, err := ParseIP(bad); err == nil {
			t.Errorf("%s: taken as %+v", bad, got)
		}
	}
}

func FuzzParseIP(f *testing.F) {
	f.Add("192.168.7.2::192.168.7.1:255.255.255.0:lab:eth0:off:1.1.1.1")
	f.Add("eth0:10.0.0.2:24,eth1:10.0.1.2:24")
	f.Add("[fd00::2]::[fd00::1]:64::eth0:none")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := ParseIP(text)
		for _, s := range list {
			if err == nil && s.Static() && (s.Address.Bits() < 1 || s.Address.Addr().Zone() != "") {
				t.Errorf("%q: %+v", text, s)
			}
		}
	})
}
