package initramfs

// drivers is one line of the list of kernel modules: a class, for people, and
// which modules belong to it. The pattern is a path below the kernel/ of the
// module tree: with a slash at its end everything below that directory, else
// a file without its .ko or .ko.xz, where * is any text between slashes.
type drivers struct {
	class, pattern string
}

// moduleList is the base set: what a machine needs to find its disks, network
// and keyboard, and to read what is on the disks. What these modules depend on
// comes with them.
var moduleList = []drivers{
	{"ATA", "drivers/ata/"},
	{"NVMe", "drivers/nvme/host/"},
	{"NVMe", "drivers/pci/controller/vmd"},

	{"SCSI and RAID adapters", "drivers/scsi/"},
	{"SCSI and RAID adapters", "drivers/message/fusion/"},
	{"SCSI and RAID adapters", "drivers/misc/enclosure"},
	{"SCSI and RAID adapters", "drivers/firmware/iscsi_ibft"},
	{"SCSI and RAID adapters", "drivers/cdrom/"},

	{"virtual block devices", "drivers/block/aoe/"},
	{"virtual block devices", "drivers/block/brd"},
	{"virtual block devices", "drivers/block/loop"},
	{"virtual block devices", "drivers/block/mtip32xx/"},
	{"virtual block devices", "drivers/block/nbd"},
	{"virtual block devices", "drivers/block/null_blk/"},
	{"virtual block devices", "drivers/block/ublk_drv"},
	{"virtual block devices", "drivers/block/zram/"},
	{"virtual block devices", "drivers/nvdimm/"},
	{"virtual block devices", "drivers/acpi/nfit/"},
	{"virtual block devices", "drivers/dax/"},
	{"virtual block devices", "drivers/cxl/"},

	{"RAID and device mapper", "drivers/md/"},

	{"USB", "drivers/usb/class/cdc-acm"},
	{"USB", "drivers/usb/common/"},
	{"USB", "drivers/usb/core/"},
	{"USB", "drivers/usb/dwc3/"},
	{"USB", "drivers/usb/host/"},
	{"USB", "drivers/usb/roles/"},
	{"USB", "drivers/usb/serial/"},
	{"USB", "drivers/usb/storage/"},

	{"SD cards, FireWire, Thunderbolt", "drivers/mmc/"},
	{"SD cards, FireWire, Thunderbolt", "drivers/ufs/"},
	{"SD cards, FireWire, Thunderbolt", "drivers/memstick/"},
	{"SD cards, FireWire, Thunderbolt", "drivers/misc/cardreader/"},
	{"SD cards, FireWire, Thunderbolt", "drivers/misc/cb710/"},
	{"SD cards, FireWire, Thunderbolt", "drivers/misc/tifm_*"},
	{"SD cards, FireWire, Thunderbolt", "drivers/firewire/firewire-core"},
	{"SD cards, FireWire, Thunderbolt", "drivers/firewire/firewire-net"},
	{"SD cards, FireWire, Thunderbolt", "drivers/firewire/firewire-ohci"},
	{"SD cards, FireWire, Thunderbolt", "drivers/firewire/firewire-sbp2"},
	{"SD cards, FireWire, Thunderbolt", "drivers/thunderbolt/"},

	{"virtual machines", "drivers/block/virtio_blk"},
	{"virtual machines", "drivers/block/xen-blkfront"},
	{"virtual machines", "drivers/char/hw_random/"},
	{"virtual machines", "drivers/firmware/qemu_fw_cfg"},
	{"virtual machines", "drivers/hv/"},
	{"virtual machines", "drivers/misc/pvpanic/"},
	{"virtual machines", "drivers/misc/vmw_vmci/"},
	{"virtual machines", "drivers/net/hyperv/"},
	{"virtual machines", "drivers/net/net_failover"},
	{"virtual machines", "drivers/net/virtio_net"},
	{"virtual machines", "drivers/net/vmxnet3/"},
	{"virtual machines", "drivers/net/xen-netfront"},
	{"virtual machines", "drivers/pci/controller/pci-hyperv*"},
	{"virtual machines", "drivers/pci/xen-pcifront"},
	{"virtual machines", "drivers/virt/vboxguest/"},
	{"virtual machines", "drivers/virtio/"},
	{"virtual machines", "net/vmw_vsock/"},

	{"file systems", "fs/adfs/"},
	{"file systems", "fs/affs/"},
	{"file systems", "fs/bcachefs/"},
	{"file systems", "fs/befs/"},
	{"file systems", "fs/bfs/"},
	{"file systems", "fs/btrfs/"},
	{"file systems", "fs/configfs/"},
	{"file systems", "fs/efivarfs/"},
	{"file systems", "fs/efs/"},
	{"file systems", "fs/erofs/"},
	{"file systems", "fs/exfat/"},
	{"file systems", "fs/ext4/"},
	{"file systems", "fs/f2fs/"},
	{"file systems", "fs/fat/"},
	{"file systems", "fs/freevxfs/"},
	{"file systems", "fs/fuse/"},
	{"file systems", "fs/hfs/"},
	{"file systems", "fs/hfsplus/"},
	{"file systems", "fs/hpfs/"},
	{"file systems", "fs/isofs/"},
	{"file systems", "fs/jfs/"},
	{"file systems", "fs/minix/"},
	{"file systems", "fs/nilfs2/"},
	{"file systems", "fs/nls/"},
	{"file systems", "fs/ntfs3/"},
	{"file systems", "fs/omfs/"},
	{"file systems", "fs/overlayfs/"},
	{"file systems", "fs/qnx4/"},
	{"file systems", "fs/qnx6/"},
	{"file systems", "fs/quota/"},
	{"file systems", "fs/reiserfs/"},
	{"file systems", "fs/romfs/"},
	{"file systems", "fs/squashfs/"},
	{"file systems", "fs/sysv/"},
	{"file systems", "fs/udf/"},
	{"file systems", "fs/ufs/"},
	{"file systems", "fs/vboxsf/"},
	{"file systems", "fs/xfs/"},
	{"file systems", "fs/zonefs/"},

	{"network file systems", "fs/9p/"},
	{"network file systems", "fs/lockd/"},
	{"network file systems", "fs/netfs/"},
	{"network file systems", "fs/nfs/"},
	{"network file systems", "fs/smb/client/"},
	{"network file systems", "net/9p/"},
	{"network file systems", "net/dns_resolver/"},
	{"network file systems", "net/sunrpc/"},

	{"Ethernet", "drivers/net/ethernet/"},
	{"Ethernet", "drivers/net/mdio/"},
	{"Ethernet", "drivers/net/pcs/"},
	{"Ethernet", "drivers/net/phy/"},

	{"USB network, bonding, VLAN", "drivers/net/bonding/"},
	{"USB network, bonding, VLAN", "drivers/net/dummy"},
	{"USB network, bonding, VLAN", "drivers/net/macvlan"},
	{"USB network, bonding, VLAN", "drivers/net/mii"},
	{"USB network, bonding, VLAN", "drivers/net/netconsole"},
	{"USB network, bonding, VLAN", "drivers/net/team/"},
	{"USB network, bonding, VLAN", "drivers/net/thunderbolt/"},
	{"USB network, bonding, VLAN", "drivers/net/tun"},
	{"USB network, bonding, VLAN", "drivers/net/usb/"},
	{"USB network, bonding, VLAN", "drivers/net/veth"},
	{"USB network, bonding, VLAN", "net/802/"},
	{"USB network, bonding, VLAN", "net/8021q/"},
	{"USB network, bonding, VLAN", "net/bridge/bridge"},
	{"USB network, bonding, VLAN", "net/packet/"},
	{"USB network, bonding, VLAN", "net/unix/"},

	{"keyboards and mice", "drivers/hid/"},
	{"keyboards and mice", "drivers/i2c/busses/i2c-amd*"},
	{"keyboards and mice", "drivers/i2c/busses/i2c-designware-*"},
	{"keyboards and mice", "drivers/i2c/busses/i2c-i801"},
	{"keyboards and mice", "drivers/i2c/busses/i2c-isch"},
	{"keyboards and mice", "drivers/i2c/busses/i2c-piix4"},
	{"keyboards and mice", "drivers/input/evdev"},
	{"keyboards and mice", "drivers/input/keyboard/"},
	{"keyboards and mice", "drivers/input/misc/soc_button_array"},
	{"keyboards and mice", "drivers/input/misc/uinput"},
	{"keyboards and mice", "drivers/input/mouse/"},
	{"keyboards and mice", "drivers/input/rmi4/"},
	{"keyboards and mice", "drivers/input/serio/"},
	{"keyboards and mice", "drivers/mfd/intel*"},
	{"keyboards and mice", "drivers/mfd/lpc_*"},
	{"keyboards and mice", "drivers/pinctrl/intel/"},
	{"keyboards and mice", "drivers/platform/chrome/cros_ec"},
	{"keyboards and mice", "drivers/platform/chrome/cros_ec_i2c"},
	{"keyboards and mice", "drivers/platform/chrome/cros_ec_lpcs"},
	{"keyboards and mice", "drivers/platform/chrome/cros_ec_spi"},
	{"keyboards and mice", "drivers/platform/surface/aggregator/"},
	{"keyboards and mice", "drivers/platform/surface/surface_aggregator_registry"},
	{"keyboards and mice", "drivers/platform/surface/surface_hotplug"},
	{"keyboards and mice", "drivers/spi/spi-pxa2xx-*"},

	{"ciphers, TPM, IPMI, power", "arch/x86/crypto/"},
	{"ciphers, TPM, IPMI, power", "crypto/"},
	{"ciphers, TPM, IPMI, power", "drivers/crypto/padlock-*"},
	{"ciphers, TPM, IPMI, power", "lib/crypto/"},
	{"ciphers, TPM, IPMI, power", "lib/libcrc32c"},
	{"ciphers, TPM, IPMI, power", "drivers/acpi/"},
	{"ciphers, TPM, IPMI, power", "drivers/char/ipmi/"},
	{"ciphers, TPM, IPMI, power", "drivers/char/tpm/"},
	{"ciphers, TPM, IPMI, power", "drivers/cpufreq/"},
	{"ciphers, TPM, IPMI, power", "drivers/dma/"},
	{"ciphers, TPM, IPMI, power", "drivers/firmware/efi/"},
	{"ciphers, TPM, IPMI, power", "drivers/hwmon/coretemp"},
	{"ciphers, TPM, IPMI, power", "drivers/hwmon/drivetemp"},
	{"ciphers, TPM, IPMI, power", "drivers/hwmon/k10temp"},
	{"ciphers, TPM, IPMI, power", "drivers/misc/hpilo"},
	{"ciphers, TPM, IPMI, power", "drivers/tty/serial/"},

	{"screens", "drivers/gpu/drm/ast/"},
	{"screens", "drivers/gpu/drm/hyperv/"},
	{"screens", "drivers/gpu/drm/mgag200/"},
	{"screens", "drivers/gpu/drm/qxl/"},
	{"screens", "drivers/gpu/drm/tiny/bochs"},
	{"screens", "drivers/gpu/drm/tiny/cirrus"},
	{"screens", "drivers/gpu/drm/vboxvideo/"},
	{"screens", "drivers/gpu/drm/virtio/"},
	{"screens", "drivers/gpu/drm/vmwgfx/"},
}

// moduleExceptions are patterns of modules that the list above would take in
// and that are left out, for what they draw in or do.
var moduleExceptions = []string{
	"*/*/*/*_cs", // PCMCIA
	"*/*/*/*/*_cs",
	"drivers/ata/pata_pcmcia",
	"drivers/scsi/pcmcia/",

	"drivers/nvme/host/nvme-rdma", // InfiniBand
	"fs/nfs/*rdma*",
	"net/9p/9pnet_rdma",
	"net/sunrpc/xprtrdma/",

	"drivers/hid/hid-prodikeys",            // sound
	"drivers/hid/hid-sensor-*",             // gravity, light
	"drivers/md/md-cluster",                // clusters
	"drivers/net/usb/cdc-phonet",           // telephones
	"drivers/scsi/qla2xxx/tcm_*",           // serving disks
	"drivers/net/ethernet/mellanox/mlxsw/", // switches

	"crypto/tcrypt",                 // loading it runs every cipher
	"drivers/acpi/acpi_pad",         // idles processors on the firmware's order
	"drivers/input/serio/serio_raw", // takes the keyboard away
}
