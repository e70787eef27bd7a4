// Package initramfs holds what the live system is made of: its commands,
// kernel modules, firmware, programs and files, each as one list, and packs
// them into an initramfs. It does not fetch packages and does not write discs.
package initramfs
