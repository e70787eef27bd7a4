package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"

	"doppel.live/internal/live/cmdline"
)

// networkWait is how long the network has at least to come up.
const networkWait = 20 * time.Second

// bringUp sees to it that this machine has an address: by the command network,
// which keeps the lease, unless ip= and the like on the kernel command line
// have brought it up or are about to.
func bringUp(ctx context.Context) error {
	if hasAddress() {
		return nil
	}
	wait := networkWait
	if end, ok := ctx.Deadline(); ok {
		wait = max(wait, time.Until(end))
	}
	if line, err := os.ReadFile("/proc/cmdline"); err == nil {
		if c := cmdline.Parse(string(line)); len(c.IP)+len(c.Links) > 0 {
			return awaitAddress(wait)
		}
	}
	cmd := exec.Command("network", "up", "--wait", wait.Round(time.Second).String())
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		if text := strings.TrimSpace(strings.TrimPrefix(said.String(), "network: ")); text != "" {
			return errors.New(text)
		}
		return err
	}
	return nil
}

// hasAddress tells whether a card has an address that leads somewhere.
func hasAddress() bool {
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() && n.IP.To4() != nil {
			return true
		}
	}
	return false
}

// awaitAddress waits for what somebody else does.
func awaitAddress(limit time.Duration) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); time.Now().Before(end); <-tick.C {
		if hasAddress() {
			return nil
		}
	}
	return fmt.Errorf("no network card has an address after %v: ip= on the kernel command line did not work", limit)
}
