package main

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"doppel.live/internal/live/cmdline"
)

func TestRead(t *testing.T) {
	links, todo, problems := read(cmdline.Parse("ip=dhcp ip=10.0.0.2::10.0.0.1:24::bond0.5:none bond=bond0:eth0,eth1 vlan=bond0.5:bond0 " +
		"nameserver=10.0.0.53 BOOTIF=01-52-54-00-12-34-56 hostname=lab"))
	if err := errors.Join(problems...); err != nil {
		t.Fatal(err)
	}
	if len(links.Bonds) != 1 || len(links.VLANs) != 1 || len(links.DNS) != 1 {
		t.Errorf("links %+v", links)
	}
	if len(todo) != 2 || todo[0].Address != netip.MustParsePrefix("10.0.0.2/24") || todo[1].Device != "52:54:00:12:34:56" || todo[1].Hostname != "lab" {
		t.Errorf("addresses %+v", todo) // given ones first, and "any" is the card that was started by
	}
	_, todo, problems = read(cmdline.Parse("ip=dhcp6 ip=eth0:dhcp vlan=x:eth0"))
	if err := errors.Join(problems...); err == nil || !strings.Contains(err.Error(), "dhcp6") || !strings.Contains(err.Error(), "vlan=x") || len(todo) != 1 {
		t.Errorf("%v, %+v", err, todo)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range []string{"", "dance", "down", "up --ip", "status --colour"} {
		var out, errs bytes.Buffer
		if got := run(strings.Fields(args), &out, &errs); got != 2 || errs.Len() == 0 {
			t.Errorf("network %s: status %d, %q", args, got, errs.String())
		}
	}
	var out, errs bytes.Buffer
	if got := run([]string{"up", "--ip", "nonsense"}, &out, &errs); got != 1 || !strings.Contains(errs.String(), "nonsense") {
		t.Errorf("status %d, %q", got, errs.String())
	}
}
