package vm

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
)

// Firmware is what a machine starts with.
type Firmware int

// The firmwares: SeaBIOS, and OVMF without and with Secure Boot enforced.
const (
	BIOS Firmware = iota
	UEFI
	SecureBoot
)

func (f Firmware) String() string { return [...]string{"BIOS", "UEFI", "Secure Boot"}[f] }

// NetBoot is how the firmware starts from the network card.
type NetBoot int

// The ways: not at all, by PXE (the card's own iPXE on BIOS machines), by UEFI
// HTTP boot. UEFI firmware that does one leaves out the other and IPv6: it
// would wait a minute for each.
const (
	NoNetBoot NetBoot = iota
	PXE
	HTTP
)

// Disk is one disk of a machine.
type Disk struct {
	Path     string
	ID       string // for Unplug; "" where that is not wanted
	Bus      string // virtio (default), ahci, nvme, usb, scsi, sd (one only, of a power of two bytes, without Serial)
	Serial   string
	ReadOnly bool
	Snapshot bool // writes are thrown away
	Boot     bool // the firmware tries it first
}

// Config describes a machine. The zero value is a BIOS machine of 1 GiB with
// nothing to boot from. The processor has no 16-byte
// compare-and-swap: that of QEMU 7.2 without KVM leaves junk in the flags, and
// kernels that use it die at random.
type Config struct {
	Firmware Firmware
	Memory   int    // MiB; 0: 1024
	CPUs     int    // 0: 1
	CD       string // ISO in the drive
	Disks    []Disk
	Kernel   string // booted directly, instead of a medium
	Initrd   string
	Append   string      // kernel command line
	NIC      bool        // virtio on QEMU's user network
	Forward  map[int]int // TCP ports of 127.0.0.1 that lead to ports of the machine, with NIC
	Tap      string      // name of a tap interface: virtio on that, in place of NIC
	Cables   []*Cable    // more virtio cards, behind the one of NIC or Tap
	NetBoot  NetBoot
	OVMF     string // directory of the OVMF files
	Display  bool   // a window, with the serial line left on a socket

	// USBKeyboard is the only keyboard of the machine, which has no PS/2.
	USBKeyboard bool
}

func (c Config) args(dir string) ([]string, error) {
	memory := c.Memory
	if memory == 0 {
		memory = 1024
	}
	args := []string{
		"-accel", "tcg", "-cpu", "max,la57=off,svm=off,cx16=off", "-smp", strconv.Itoa(max(1, c.CPUs)), "-m", strconv.Itoa(memory), "-S",
		"-nodefaults", "-vga", "std",
		"-chardev", "socket,id=serial,path=" + filepath.Join(dir, "serial") + ",server=on,wait=off", "-serial", "chardev:serial",
		"-qmp", "unix:" + filepath.Join(dir, "qmp") + ",server=on,wait=off",
		"-device", "virtio-rng-pci", "-device", "qemu-xhci,id=usb", "-device", "virtio-scsi-pci,id=scsi",
	}
	if !c.Display {
		args = append(args, "-display", "none")
	}
	firmware, err := c.firmware(dir)
	if err != nil {
		return nil, err
	}
	args = append(args, firmware...)
	if c.CD != "" {
		args = append(args, "-drive", "id=cd,if=none,media=cdrom,readonly=on,format=raw,file="+c.CD, "-device", "ide-cd,id=cdrom,drive=cd,bus=ide.0,bootindex=1")
	}
	for i, d := range c.Disks {
		args = append(args, d.args(i)...)
	}
	if c.Kernel != "" {
		args = append(args, "-kernel", c.Kernel, "-initrd", c.Initrd, "-append", c.Append)
	}
	if c.USBKeyboard {
		args = append(args, "-machine", "i8042=off", "-device", "usb-kbd,bus=usb.0")
	}
	args = append(args, c.network()...)
	for _, cable := range c.Cables {
		args = append(args, cable.args()...)
	}
	return args, nil
}

func (c Config) network() []string {
	if !c.NIC && c.Tap == "" {
		return []string{"-nic", "none"}
	}
	back, card := "user,id=net"+c.forwards(), "virtio-net-pci,netdev=net"
	if c.Tap != "" {
		back = "tap,id=net,script=no,downscript=no,ifname=" + c.Tap
	}
	if c.NetBoot == NoNetBoot || c.Firmware != BIOS {
		card += ",romfile=" // the firmware's own driver, or none
	}
	if c.NetBoot == NoNetBoot {
		return []string{"-netdev", back, "-device", card}
	}
	other := map[NetBoot]string{PXE: "HTTP", HTTP: "PXE"}[c.NetBoot]
	return []string{"-netdev", back, "-device", card + ",bootindex=0",
		"-fw_cfg", "name=opt/org.tianocore/IPv4" + other + "Support,string=n",
		"-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=n"}
}

func (c Config) forwards() string {
	var out string
	for host, guest := range c.Forward {
		out += fmt.Sprintf(",hostfwd=tcp:127.0.0.1:%d-:%d", host, guest)
	}
	return out
}

// firmware gives QEMU a private copy of the variable store.
func (c Config) firmware(dir string) ([]string, error) {
	if c.Firmware == BIOS {
		return []string{"-machine", "q35"}, nil
	}
	code, vars := "OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"
	machine := []string{"-machine", "q35"}
	if c.Firmware == SecureBoot {
		code, vars = "OVMF_CODE_4M.ms.fd", "OVMF_VARS_4M.ms.fd"
		machine = []string{"-machine", "q35,smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on", "-global", "ICH9-LPC.disable_s3=1"}
	}
	own := filepath.Join(dir, "vars.fd")
	if err := copyFile(own, filepath.Join(c.OVMF, vars)); err != nil {
		return nil, fmt.Errorf("OVMF's variable store: %w", err)
	}
	return append(machine,
		"-drive", "if=pflash,format=raw,unit=0,readonly=on,file="+filepath.Join(c.OVMF, code),
		"-drive", "if=pflash,format=raw,unit=1,file="+own), nil
}

func (d Disk) args(i int) []string {
	id := d.ID
	if id == "" {
		id = fmt.Sprintf("disk%d", i)
	}
	drive := fmt.Sprintf("id=drive%d,if=none,format=raw,cache=unsafe,discard=unmap,file=%s", i, d.Path)
	if d.ReadOnly {
		drive += ",readonly=on"
	}
	if d.Snapshot {
		drive += ",snapshot=on"
	}
	device := map[string]string{
		"": "virtio-blk-pci", "virtio": "virtio-blk-pci", "ahci": "ide-hd", "nvme": "nvme", "usb": "usb-storage,bus=usb.0", "scsi": "scsi-hd,bus=scsi.0", "sd": "sd-card,bus=sd-bus",
	}[d.Bus]
	if d.Bus == "ahci" {
		device += fmt.Sprintf(",bus=ide.%d", i+1) // ide.0 has the CD
	}
	device += fmt.Sprintf(",id=%s,drive=drive%d", id, i)
	if d.Serial != "" {
		device += ",serial=" + d.Serial
	}
	if d.Boot {
		device += ",bootindex=0"
	}
	if d.Bus == "sd" {
		return []string{"-device", "sdhci-pci", "-drive", drive, "-device", device}
	}
	return []string{"-drive", drive, "-device", device}
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
