package vm

import (
	"fmt"
	"net"
)

// Cable is a cable from a virtio card of a machine to this program: each frame
// of Ethernet is one datagram (QEMU's socket netdev over UDP).
type Cable struct {
	MAC   string // of the card
	conn  *net.UDPConn
	local int // port of QEMU's end
}

// NewCable makes one for a card with that hardware address.
func NewCable(mac string) (*Cable, error) {
	ours, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	theirs, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		ours.Close()
		return nil, err
	}
	defer theirs.Close() // QEMU opens that port
	return &Cable{mac, ours, theirs.LocalAddr().(*net.UDPAddr).Port}, nil
}

// Read reads one frame.
func (c *Cable) Read(p []byte) (int, error) { return c.conn.Read(p) }

// Write sends one frame.
func (c *Cable) Write(p []byte) (int, error) {
	return c.conn.WriteToUDP(p, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: c.local})
}

// Close ends the use of the cable.
func (c *Cable) Close() error { return c.conn.Close() }

// Plug puts the cable into the card of a machine, or pulls it out.
func (c *Cable) Plug(m *Machine, in bool) error {
	_, err := m.QMP("set_link", map[string]any{"name": c.id(), "up": in})
	return err
}

func (c *Cable) id() string { return fmt.Sprintf("cable%d", c.local) }

func (c *Cable) args() []string {
	port := c.conn.LocalAddr().(*net.UDPAddr).Port
	return []string{"-netdev", fmt.Sprintf("socket,id=%s,udp=127.0.0.1:%d,localaddr=127.0.0.1:%d", c.id(), port, c.local),
		"-device", fmt.Sprintf("virtio-net-pci,netdev=%s,mac=%s,romfile=", c.id(), c.MAC)}
}
