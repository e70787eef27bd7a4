package acceptance

import (
	"bytes"
	"encoding/binary"
	"net"
	"sync/atomic"
	"testing"

	"doppel.live/internal/vm"
)

// Types of Ethernet frames.
const (
	typeVLAN = 0x8100 // IEEE 802.1Q
	typeIPv4 = 0x0800
	typeARP  = 0x0806
)

// vlanHost is a host in a tagged network, at the other end of cables. It
// answers who asks for its address (RFC 826) and echoes (RFC 792).
type vlanHost struct {
	id       uint16 // of the network
	ip       net.IP // of 4 bytes
	cables   []*vm.Cable
	answered []atomic.Int32 // echoes, by cable
}

// startVLAN puts such a host at the end of two cables.
func startVLAN(t *testing.T, id uint16, ip net.IP, macs ...string) *vlanHost {
	t.Helper()
	h := &vlanHost{id: id, ip: ip.To4(), answered: make([]atomic.Int32, len(macs))}
	for i, mac := range macs {
		c, err := vm.NewCable(mac)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		h.cables = append(h.cables, c)
		go h.serve(i)
	}
	return h
}

func (h *vlanHost) serve(cable int) {
	frame := make([]byte, 9000)
	for {
		n, err := h.cables[cable].Read(frame)
		if err != nil {
			return
		}
		if h.answer(frame[:n]) {
			if _, err := h.cables[cable].Write(frame[:n]); err == nil && binary.BigEndian.Uint16(frame[16:]) == typeIPv4 {
				h.answered[cable].Add(1)
			}
		}
	}
}

// answer makes a frame that is for this host the answer to it.
//
//	0   destination, source     14  identifier of the network in 12 bits
//	12  type: VLAN              16  type of what is behind it, from 18 on
func (h *vlanHost) answer(b []byte) bool {
	be := binary.BigEndian
	if len(b) < 18+28 || be.Uint16(b[12:]) != typeVLAN || be.Uint16(b[14:])&0xFFF != h.id {
		return false
	}
	mac := []byte{0x52, 0x54, 0, 9, 9, 9}
	p := b[18:]
	switch be.Uint16(b[16:]) {
	case typeARP: // 6 operation, 8 sender's addresses, 18 target's
		if be.Uint16(p[6:]) != 1 || !bytes.Equal(p[24:28], h.ip) {
			return false
		}
		be.PutUint16(p[6:], 2)
		copy(p[18:28], p[8:18])
		copy(p[8:], mac)
		copy(p[14:], h.ip)
	case typeIPv4: // 9 protocol, 12 source, 16 destination; 20 ICMP: type, code, checksum
		if p[0] != 0x45 || p[9] != 1 || !bytes.Equal(p[16:20], h.ip) || p[20] != 8 {
			return false
		}
		copy(p[16:20], p[12:16])
		copy(p[12:16], h.ip)
		p[20] = 0
		sum := uint32(be.Uint16(p[22:])) + 0x0800 // what the type gave to the sum
		be.PutUint16(p[22:], uint16(sum+sum>>16))
	default:
		return false
	}
	copy(b[0:6], b[6:12])
	copy(b[6:12], mac)
	return true
}
