package ntfs

import (
	"io/fs"
	"strings"
)

// The tags of reparse points that matter here, as [MS-FSCC] section 2.1.2.1
// lists them.
const (
	tagMountPoint = 0xA0000003 // junctions too
	tagSymlink    = 0xA000000C
	tagLinuxLink  = 0xA000001D
	tagSocket     = 0x80000023
	tagFifo       = 0x80000024
	tagCharacter  = 0x80000025
	tagBlock      = 0x80000026
	tagWOF        = 0x80000017 // compressed, in the stream WofCompressedData
	tagDedup      = 0x80000013 // in chunks of "System Volume Information"
	tagHSM        = 0xC0000004 // on another medium
	tagHSM2       = 0x80000006
	tagCloud      = 0x9000001A // with any 4 bits at 12
)

const maxReparse = 16 << 10 // bytes, by [MS-FSCC]

// follow reads the reparse point of a file: whether it is a link or a special
// file of the Windows subsystem for Linux, or its content lies elsewhere.
//
//	0x00  4  tag                   symbolic link and junction:
//	0x04  2  length of the data    0x08  2  offset of the target   0x0A  2  its length
//	0x08     the data              0x0C  2  of what to show        0x0E  2  its length
//	                               0x10  4  flags, of a symbolic link alone
//	                               then the texts
func (n *node) follow() error {
	if n.reparse == nil {
		return nil
	}
	p := make([]byte, min(n.reparse.size, maxReparse))
	if k, err := n.reparse.ReadAt(p, 0); k < len(p) {
		return err
	}
	if len(p) < 8 || int(le.Uint16(p[4:])) > len(p)-8 {
		return formatError(n.base.offset, "a reparse point of %d bytes", len(p))
	}
	tag, value := le.Uint32(p), p[8:8+int(le.Uint16(p[4:]))]
	switch tag {
	case tagMountPoint:
		return n.linkTo(value, 8)
	case tagSymlink:
		return n.linkTo(value, 12)
	case tagLinuxLink:
		if len(value) < 4 {
			return formatError(n.base.offset, "a link of %d bytes", len(value))
		}
		n.kind, n.link, n.target = fs.ModeSymlink, true, string(value[4:]) // behind a version
	case tagSocket:
		n.kind = fs.ModeSocket
	case tagFifo:
		n.kind = fs.ModeNamedPipe
	case tagCharacter:
		n.kind = fs.ModeDevice | fs.ModeCharDevice
	case tagBlock:
		n.kind = fs.ModeDevice
	case tagWOF:
		n.seal("compressed by Windows in another stream")
	case tagDedup:
		n.seal("deduplicated by Windows")
	case tagHSM, tagHSM2:
		n.seal("on another medium")
	default:
		if tag&^0xF000 == tagCloud {
			n.seal("in a cloud")
		}
	}
	return nil
}

// linkTo reads the target of a link, the texts of which begin at byte texts.
func (n *node) linkTo(value []byte, texts int) error {
	if len(value) < texts {
		return formatError(n.base.offset, "a link of %d bytes", len(value))
	}
	off, length := texts+int(le.Uint16(value)), int(le.Uint16(value[2:]))
	if off+length > len(value) {
		return formatError(n.base.offset, "a link with a target of %d bytes at %d of %d", length, off, len(value))
	}
	n.kind, n.link = fs.ModeSymlink, true
	n.target = strings.TrimPrefix(wideText(value[off:off+length]), `\??\`)
	return nil
}

// seal says that what the unnamed stream holds is not the content of the file.
func (n *node) seal(why string) {
	for _, d := range n.streams {
		if d.name == "" {
			d.sealed = why
		}
	}
}
