package initramfs

// program is one line of the list of programs that are not ours: the Debian
// package, the file, and the further names it is called by, beside it or where
// they say. The libraries it needs are found by reading it.
type program struct {
	pkg, path, names string
}

// programList is what a rescue shell wants and what imaging calls.
var programList = []program{
	{"dash", "usr/bin/dash", "sh"}, // glibc's system and popen, and so parted, need a /bin/sh

	{"e2fsprogs", "usr/sbin/badblocks", ""},
	{"e2fsprogs", "usr/sbin/debugfs", ""},
	{"e2fsprogs", "usr/sbin/dumpe2fs", ""},
	{"e2fsprogs", "usr/sbin/e2fsck", "fsck.ext2 fsck.ext3 fsck.ext4"},
	{"e2fsprogs", "usr/sbin/e2image", ""},
	{"e2fsprogs", "usr/sbin/mke2fs", "mkfs.ext2 mkfs.ext3 mkfs.ext4"},
	{"e2fsprogs", "usr/sbin/resize2fs", ""},
	{"e2fsprogs", "usr/sbin/tune2fs", "e2label"},

	{"ntfs-3g", "usr/bin/ntfs-3g", "/usr/sbin/mount.ntfs /usr/sbin/mount.ntfs-3g"},
	{"ntfs-3g", "usr/bin/ntfsfix", ""},
	{"ntfs-3g", "usr/bin/ntfsinfo", ""},
	{"ntfs-3g", "usr/sbin/mkntfs", "mkfs.ntfs"},
	{"ntfs-3g", "usr/sbin/ntfsclone", ""},
	{"ntfs-3g", "usr/sbin/ntfslabel", ""},
	{"ntfs-3g", "usr/sbin/ntfsresize", ""},
	{"ntfs-3g", "usr/sbin/ntfsundelete", ""},

	{"xfsprogs", "usr/sbin/mkfs.xfs", ""},
	{"xfsprogs", "usr/sbin/xfs_db", ""},
	{"xfsprogs", "usr/sbin/xfs_growfs", ""},
	{"xfsprogs", "usr/sbin/xfs_io", ""},
	{"xfsprogs", "usr/sbin/xfs_repair", ""},

	{"btrfs-progs", "usr/bin/btrfs", ""},
	{"btrfs-progs", "usr/bin/btrfstune", ""},
	{"btrfs-progs", "usr/sbin/mkfs.btrfs", ""},

	{"f2fs-tools", "usr/sbin/fsck.f2fs", "dump.f2fs resize.f2fs"},
	{"f2fs-tools", "usr/sbin/mkfs.f2fs", ""},

	{"dosfstools", "usr/sbin/fatlabel", "dosfslabel"},
	{"dosfstools", "usr/sbin/fsck.fat", "fsck.vfat fsck.msdos"},
	{"dosfstools", "usr/sbin/mkfs.fat", "mkfs.vfat mkfs.msdos"},
	{"fatresize", "usr/sbin/fatresize", ""},

	{"exfatprogs", "usr/sbin/exfatlabel", ""},
	{"exfatprogs", "usr/sbin/fsck.exfat", ""},
	{"exfatprogs", "usr/sbin/mkfs.exfat", ""},
	{"exfatprogs", "usr/sbin/tune.exfat", ""},

	{"jfsutils", "usr/sbin/jfs_fsck", "fsck.jfs"},
	{"jfsutils", "usr/sbin/mkfs.jfs", ""},
	{"nilfs-tools", "usr/sbin/mkfs.nilfs2", ""},
	{"nilfs-tools", "usr/sbin/nilfs-resize", ""},
	{"nilfs-tools", "usr/sbin/nilfs-tune", ""},
	{"reiserfsprogs", "usr/sbin/mkfs.reiserfs", ""},
	{"reiserfsprogs", "usr/sbin/reiserfsck", "fsck.reiserfs"},
	{"reiserfsprogs", "usr/sbin/resize_reiserfs", ""},
	{"udftools", "usr/sbin/mkudffs", "mkfs.udf"},
	{"udftools", "usr/sbin/udflabel", ""},

	{"cryptsetup-bin", "usr/sbin/cryptsetup", ""},
	{"dmsetup", "usr/sbin/dmsetup", "dmstats"},
	{"lvm2", "usr/sbin/lvm", "lvchange lvconvert lvcreate lvdisplay lvextend lvreduce lvremove lvresize lvs lvscan" +
		" pvchange pvck pvcreate pvdisplay pvmove pvremove pvresize pvs pvscan" +
		" vgcfgbackup vgcfgrestore vgchange vgck vgcreate vgdisplay vgexport vgextend vgimport vgimportclone vgmknodes vgreduce vgremove vgrename vgs vgscan"},
	{"mdadm", "usr/sbin/mdadm", ""},

	{"efibootmgr", "usr/bin/efibootmgr", ""},
	{"ethtool", "usr/sbin/ethtool", ""},
	{"dmidecode", "usr/sbin/dmidecode", ""},
	{"hdparm", "usr/sbin/hdparm", ""},
	{"nvme-cli", "usr/sbin/nvme", ""},
	{"pciutils", "usr/bin/lspci", ""},
	{"sdparm", "usr/bin/sdparm", ""},
	{"sg3-utils", "usr/bin/sg_format", ""},
	{"sg3-utils", "usr/bin/sg_inq", ""},
	{"sg3-utils", "usr/bin/sg_readcap", ""},
	{"smartmontools", "usr/sbin/smartctl", ""},

	{"fdisk", "usr/sbin/fdisk", ""},
	{"fdisk", "usr/sbin/sfdisk", ""},
	{"gdisk", "usr/sbin/sgdisk", ""},
	{"parted", "usr/sbin/parted", ""},
	{"mount", "usr/bin/mount", ""},
	{"mount", "usr/bin/umount", ""},
	{"mount", "usr/sbin/losetup", ""},
	{"mount", "usr/sbin/swapon", "swapoff"},
	{"util-linux", "usr/bin/findmnt", ""},
	{"util-linux", "usr/bin/lsblk", ""},
	{"util-linux", "usr/bin/partx", ""},
	{"util-linux", "usr/sbin/blkdiscard", ""},
	{"util-linux", "usr/sbin/blkid", ""},
	{"util-linux", "usr/sbin/blockdev", ""},
	{"util-linux", "usr/sbin/fsck", ""},
	{"util-linux", "usr/sbin/mkswap", ""},
	{"util-linux", "usr/sbin/swaplabel", ""},
	{"util-linux", "usr/sbin/wipefs", ""},

	{"gddrescue", "usr/bin/ddrescue", ""},
	{"nano", "usr/bin/nano", ""},
	{"xorriso", "usr/bin/xorriso", ""},

	{"kbd", "usr/bin/kbd_mode", ""},
	{"kbd", "usr/bin/loadkeys", ""},
	{"kbd", "usr/bin/setfont", ""},
}

// libraryPackages hold libraries that no program names but that are opened at
// run time: libgcc_s by glibc when a thread is cancelled.
var libraryPackages = []string{"libgcc-s1"}

// libraryList are the libraries that reading the programs does not find.
var libraryList = []string{
	"libgcc_s.so.1",
}
