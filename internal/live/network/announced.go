package network

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// announced waits until the kernel has given a card an IPv6 address that a
// router announced (RFC 4862). The kernel makes the route too.
func announced(ctx context.Context, link netlink.Link) (Lease, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	updates := make(chan netlink.AddrUpdate, 64)
	if err := netlink.AddrSubscribeWithOptions(updates, ctx.Done(), netlink.AddrSubscribeOptions{ListExisting: true}); err != nil {
		return Lease{}, fmt.Errorf("network: %w", err)
	}
	for {
		select {
		case <-ctx.Done():
			return Lease{}, ctx.Err()
		case u, ok := <-updates:
			if !ok {
				return Lease{}, ctx.Err()
			}
			a, _ := netip.AddrFromSlice(u.LinkAddress.IP)
			ones, _ := u.LinkAddress.Mask.Size()
			if u.LinkIndex == link.Attrs().Index && u.NewAddr && a.Is6() && !a.Is4In6() && a.IsGlobalUnicast() && u.Flags&unix.IFA_F_TENTATIVE == 0 {
				return Lease{Device: link.Attrs().Name, Address: netip.PrefixFrom(a, ones), Announced: true}, nil
			}
		}
	}
}
