package uevent

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

const diskAdded = "add@/devices/virtual/block/sda\x00ACTION=add\x00DEVPATH=/devices/virtual/block/sda\x00SUBSYSTEM=block\x00DEVNAME=sda\x00OPT=a=b\x00SEQNUM=7\x00"

func TestParse(t *testing.T) {
	e, err := Parse([]byte(diskAdded))
	if err != nil {
		t.Fatal(err)
	}
	if e.Action != "add" || e.DevPath != "/devices/virtual/block/sda" || e.Subsystem != "block" ||
		e.Env["DEVNAME"] != "sda" || e.Env["OPT"] != "a=b" || len(e.Env) != 6 {
		t.Errorf("got %+v", e)
	}
	for _, bad := range []string{"", "\x00", "add\x00", "add@x\x00", "@/x\x00", "add@/x", "libudev\x00\xfe\xed\xca\xfe"} {
		if _, err := Parse([]byte(bad)); !errors.Is(err, ErrFormat) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestListen asks the kernel to say "change" about a device that every machine has.
func TestListen(t *testing.T) {
	l, err := Listen()
	if err != nil {
		t.Skip("no netlink here: ", err)
	}
	defer l.Close()
	trigger := filepath.Join("/sys/class/mem/null", "uevent")
	if err := os.WriteFile(trigger, []byte("change"), 0); err != nil {
		t.Skip("needs root and a writable /sys: ", err)
	}
	got := make(chan Event)
	go func() {
		for {
			e, err := l.Next()
			if err != nil {
				close(got)
				return
			}
			if e.Env["DEVNAME"] == "null" {
				got <- e
				return
			}
		}
	}()
	select {
	case e := <-got:
		if e.Action != "change" || e.Subsystem != "mem" {
			t.Errorf("got %+v", e)
		}
	case <-time.After(3 * time.Second):
		t.Skip("the kernel's message did not come: not in its first network namespace")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(diskAdded))
	f.Add([]byte("remove@/devices/x\x00=\x00K\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := Parse(b); err == nil && (e.Action == "" || e.DevPath == "") {
			t.Errorf("accepted %q as %+v", b, e)
		}
	})
}
