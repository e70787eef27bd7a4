//go:build tools

package initramfs

import (
	_ "github.com/diskfs/go-diskfs"
	_ "github.com/gdamore/tcell/v2"
	_ "github.com/insomniacslk/dhcp/dhcpv4"
	_ "github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	_ "github.com/kdomanski/iso9660"
	_ "github.com/klauspost/compress/zstd"
	_ "github.com/rivo/tview"
	_ "github.com/u-root/gobusybox/src/pkg/bb"
	_ "github.com/u-root/gobusybox/src/pkg/bb/findpkg"
	_ "github.com/u-root/gobusybox/src/pkg/golang"
	_ "github.com/u-root/mkuimage/cpio"
	_ "github.com/u-root/mkuimage/uimage/initramfs"
	_ "github.com/u-root/u-root/pkg/libinit"
	_ "github.com/ulikunitz/xz"
	_ "github.com/vishvananda/netlink"
	_ "github.com/zeebo/blake3"
	_ "golang.org/x/sys/unix"
	_ "golang.org/x/term"
	_ "golang.org/x/tools/go/packages"
)
