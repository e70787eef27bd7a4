// Package modules knows the kernel's loadable modules: it makes the index of a
// module tree, finds the module that a name or an alias means, and loads it
// with all it needs. It does not listen for devices (package uevent) and does
// not choose which modules the live system carries (package initramfs).
//
// The index is the text that depmod writes (modules.dep, modules.alias,
// modules.softdep, modules.builtin, modules.devname; see modules.dep(5)), so
// that other tools can read it as well.
package modules

import (
	"path"
	"strings"
)

// name returns the name of the module kept in the file p:
// kernel/drivers/net/virtio-net.ko.xz is virtio_net.
func name(p string) string {
	base := path.Base(p)
	if i := strings.Index(base, ".ko"); i >= 0 {
		base = base[:i]
	}
	return underscored(base)
}

// underscored writes a module's name as the kernel does: modules are files
// with dashes and names with underscores, and users type either.
func underscored(s string) string {
	return strings.ReplaceAll(s, "-", "_")
}
