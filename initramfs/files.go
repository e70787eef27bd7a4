package initramfs

// packaged is one line of the list of files out of Debian's packages. A path
// that ends in a slash is a directory with all that is in it.
type packaged struct {
	pkg, path string
}

// fileList is what the programs read.
var fileList = []packaged{
	{"e2fsprogs", "etc/mke2fs.conf"}, // without it mke2fs has other defaults
	{"smartmontools", "usr/share/smartmontools/drivedb.h"},
	{"ncurses-base", "usr/share/terminfo/l/linux"},
	{"ncurses-base", "usr/share/terminfo/s/screen"},
	{"ncurses-base", "usr/share/terminfo/t/tmux"},
	{"ncurses-base", "usr/share/terminfo/v/vt100"},
	{"ncurses-base", "usr/share/terminfo/v/vt220"},
	{"ncurses-base", "usr/share/terminfo/x/xterm"},
	{"ncurses-base", "usr/share/terminfo/x/xterm-256color"},
	{"console-data", "usr/share/keymaps/i386/azerty/"},
	{"console-data", "usr/share/keymaps/i386/dvorak/"},
	{"console-data", "usr/share/keymaps/i386/fgGIod/"},
	{"console-data", "usr/share/keymaps/i386/include/"},
	{"console-data", "usr/share/keymaps/i386/qwerty/"},
	{"console-data", "usr/share/keymaps/i386/qwertz/"},
	{"console-data", "usr/share/keymaps/include/"},
}

// written is one line of the list of files that we write.
type written struct {
	path, text string
}

// writtenList is the rest of /etc.
var writtenList = []written{
	{"etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"},
	{"etc/group", "root:x:0:\ntty:x:5:\ndisk:x:6:\nnogroup:x:65534:\n"},
	{"etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"},
	{"etc/hostname", "doppel\n"},
	{"etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"},
	{"etc/os-release", "NAME=Doppel\nID=doppel\nPRETTY_NAME=\"Doppel live system\"\n"},
	{"etc/profile", "export PS1='doppel:$PWD# '\n"},
	{"etc/lvm/lvm.conf", lvmConf},
	{"etc/mdadm/mdadm.conf", "DEVICE partitions\nHOMEHOST <ignore>\n"},
}

// lvmConf has LVM make its device nodes itself, since no udev does, look at
// every device, keep no history that ends with the machine's memory, and do
// without thin_check, which is large.
const lvmConf = `devices {
	use_devicesfile = 0
	obtain_device_list_from_udev = 0
	external_device_info_source = "none"
}
activation {
	udev_sync = 0
	udev_rules = 0
	monitoring = 0
}
global {
	thin_check_executable = ""
	cache_check_executable = ""
	event_activation = 0
	use_lvmpolld = 0
	use_lvmlockd = 0
}
backup {
	backup = 0
	archive = 0
}
`

// linkList are links: path, target.
var linkList = [][2]string{
	{"bin", "usr/bin"},
	{"sbin", "usr/sbin"},
	{"lib", "usr/lib"},
	{"lib64", "usr/lib64"},
	{"init", "bbin/init"},
	{"etc/mtab", "../proc/self/mounts"},
	{"var/run", "../run"},
	{"usr/sbin/modprobe", "../../bbin/modprobe"},
}

// directory is one line of the list of empty directories.
type directory struct {
	path string
	mode uint32 // permissions
}

var directoryList = []directory{
	{"dev", 0o755},
	{"etc/doppel", 0o755},
	{"images", 0o755},
	{"mnt", 0o755},
	{"proc", 0o555},
	{"root", 0o700},
	{"run", 0o755},
	{"sys", 0o555},
	{"tmp", 0o1777},
	{"var/log/doppel", 0o755},
	{"var/tmp", 0o1777},
}
