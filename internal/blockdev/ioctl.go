package blockdev

import (
	"encoding/binary"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The requests to the kernel that golang.org/x/sys/unix has no function for.

const (
	sgIO              = 0x2285     // <scsi/sg.h>
	nvmeIoctlAdminCmd = 0xC0484E41 // <linux/nvme_ioctl.h>
	commandTimeout    = 3000       // milliseconds that a drive may take to answer
)

// sgHeader is struct sg_io_hdr of <scsi/sg.h> on a 64-bit machine.
type sgHeader struct {
	interfaceID    int32 // 'S'
	dxferDirection int32 // -1 none, -3 from the device
	cmdLen         uint8
	mxSbLen        uint8
	iovecCount     uint16
	dxferLen       uint32
	dxferp         unsafe.Pointer
	cmdp           unsafe.Pointer
	sbp            unsafe.Pointer
	timeout        uint32 // milliseconds
	flags          uint32
	packID         int32
	usrPtr         uintptr
	status         uint8
	maskedStatus   uint8
	msgStatus      uint8
	sbLenWr        uint8
	hostStatus     uint16
	driverStatus   uint16
	resid          int32
	duration       uint32
	info           uint32
}

// scsi sends a command and gives the sense bytes. data, which may be empty,
// is filled by the drive.
func scsi(f *os.File, command, data []byte) (sense []byte, err error) {
	sense = make([]byte, 64)
	h := sgHeader{
		interfaceID: 'S', dxferDirection: -1, cmdLen: uint8(len(command)), mxSbLen: uint8(len(sense)),
		cmdp: unsafe.Pointer(&command[0]), sbp: unsafe.Pointer(&sense[0]), timeout: commandTimeout,
	}
	if len(data) > 0 {
		h.dxferDirection, h.dxferLen, h.dxferp = -3, uint32(len(data)), unsafe.Pointer(&data[0])
	}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), sgIO, uintptr(unsafe.Pointer(&h)))
	runtime.KeepAlive(command)
	runtime.KeepAlive(data)
	if errno != 0 {
		return nil, errno
	}
	if h.hostStatus != 0 {
		return nil, unix.EIO
	}
	return sense[:h.sbLenWr], nil
}

// nvmeCommand is struct nvme_admin_cmd of <linux/nvme_ioctl.h>.
type nvmeCommand struct {
	opcode, flags uint8
	_             uint16
	nsid          uint32
	_, _          uint32
	metadata      uint64
	addr          uint64
	metadataLen   uint32
	dataLen       uint32
	cdw10, cdw11  uint32
	cdw12, cdw13  uint32
	cdw14, cdw15  uint32
	timeoutMS     uint32
	result        uint32
}

// nvmeLog reads a log page of the controller (NVMe 1.4, 5.14: opcode 2).
func nvmeLog(f *os.File, page uint8, data []byte) error {
	var pin runtime.Pinner
	pin.Pin(&data[0])
	defer pin.Unpin()
	c := nvmeCommand{
		opcode: 2, nsid: 0xFFFFFFFF, addr: uint64(uintptr(unsafe.Pointer(&data[0]))), dataLen: uint32(len(data)),
		cdw10: uint32(page) | uint32(len(data)/4-1)<<16, timeoutMS: commandTimeout,
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), nvmeIoctlAdminCmd, uintptr(unsafe.Pointer(&c))); errno != 0 {
		return errno
	}
	return nil
}

// askSerial sends INQUIRY for the unit serial number page.
func askSerial(path string) string {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return ""
	}
	defer f.Close()
	page := make([]byte, 252)
	if _, err := scsi(f, []byte{0x12, 1, 0x80, 0, byte(len(page)), 0}, page); err != nil {
		return ""
	}
	return parseSerialPage(page)
}

// ioctlSize is the size in bytes of an opened block device (BLKGETSIZE64).
func ioctlSize(f *os.File) (int64, error) {
	var size uint64
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), unix.BLKGETSIZE64, uintptr(unsafe.Pointer(&size)))
	if errno != 0 {
		return 0, errno
	}
	return int64(size), nil
}

// readOnly is the state that BLKROGET tells.
func readOnly(f *os.File) (bool, error) {
	n, err := unix.IoctlGetInt(int(f.Fd()), unix.BLKROGET)
	return n != 0, err
}

func setReadOnly(f *os.File, on bool) error {
	n := 0
	if on {
		n = 1
	}
	return unix.IoctlSetPointerInt(int(f.Fd()), unix.BLKROSET, n)
}

// dropCache makes the next read of the device come from the medium.
func dropCache(f *os.File) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), unix.BLKFLSBUF, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// ataStatus asks SMART RETURN STATUS through the ATA pass-through of SAT-3
// (12.2.2, ck_cond set). The drive answers in the LBA fields: 4F C2 for good,
// F4 2C for a threshold that was passed.
func ataStatus(f *os.File) (failing bool, err error) {
	command := []byte{0x85, 3 << 1, 0x20, 0, 0xDA, 0, 0, 0, 0, 0, 0x4F, 0, 0xC2, 0, 0xB0, 0}
	sense, err := scsi(f, command, nil)
	if err != nil {
		return false, err
	}
	if len(sense) < 22 || sense[0]&0x7F != 0x72 || sense[8] != 0x09 {
		return false, unix.EOPNOTSUPP
	}
	switch binary.BigEndian.Uint16([]byte{sense[17], sense[19]}) { // LBA mid, high
	case 0x4FC2:
		return false, nil
	case 0xF42C:
		return true, nil
	}
	return false, unix.EOPNOTSUPP
}
