package vm

import (
	"encoding/json"
	"fmt"
	"image/png"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// qmp speaks the QEMU machine protocol: one JSON value a line, answers in
// order, events between them.
type qmp struct {
	conn net.Conn
	dec  *json.Decoder
}

func newQMP(conn net.Conn) (*qmp, error) {
	q := &qmp{conn: conn, dec: json.NewDecoder(conn)}
	var greeting map[string]any
	if err := q.dec.Decode(&greeting); err != nil {
		return nil, err
	}
	_, err := q.call("qmp_capabilities", nil)
	return q, err
}

func (q *qmp) call(command string, args any) (json.RawMessage, error) {
	request := map[string]any{"execute": command}
	if args != nil {
		request["arguments"] = args
	}
	if err := json.NewEncoder(q.conn).Encode(request); err != nil {
		return nil, err
	}
	for {
		var answer struct {
			Return json.RawMessage
			Error  *struct{ Desc string }
			Event  string
		}
		if err := q.dec.Decode(&answer); err != nil {
			return nil, err
		}
		switch {
		case answer.Event != "":
		case answer.Error != nil:
			return nil, fmt.Errorf("qmp %s: %s", command, answer.Error.Desc)
		default:
			return answer.Return, nil
		}
	}
}

// QMP runs one command of the QEMU machine protocol.
func (m *Machine) QMP(command string, args any) (json.RawMessage, error) {
	return m.qmp.call(command, args)
}

// Plug attaches a disk to the running machine. It needs an ID that no other
// disk has, and the bus usb or scsi.
func (m *Machine) Plug(d Disk) error {
	if d.ID == "" || d.Bus != "usb" && d.Bus != "scsi" {
		return fmt.Errorf("plug %s: needs an ID and the bus usb or scsi, not %q", d.Path, d.Bus)
	}
	node := "node-" + d.ID
	if _, err := m.QMP("blockdev-add", map[string]any{
		"driver": "raw", "node-name": node, "read-only": d.ReadOnly,
		"cache": map[string]any{"no-flush": true},
		"file":  map[string]any{"driver": "file", "filename": d.Path},
	}); err != nil {
		return err
	}
	device := map[string]any{"driver": "scsi-hd", "bus": "scsi.0", "id": d.ID, "drive": node, "serial": d.Serial}
	if d.Bus == "usb" {
		device["driver"], device["bus"] = "usb-storage", "usb.0"
	}
	_, err := m.QMP("device_add", device)
	m.plugged[d.ID] = err == nil
	return err
}

// Unplug takes the device of that ID away, as pulling its plug does. What came
// by Plug may be plugged in again afterwards.
func (m *Machine) Unplug(id string) error {
	if _, err := m.QMP("device_del", map[string]any{"id": id}); err != nil || !m.plugged[id] {
		return err
	}
	delete(m.plugged, id)
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) { // QEMU ends what was asked for before
		_, err := m.QMP("blockdev-del", map[string]any{"node-name": "node-" + id})
		if err == nil || time.Since(began) > 10*time.Second {
			return err
		}
	}
}

// ChangeCD puts another ISO into the drive.
func (m *Machine) ChangeCD(path string) error {
	_, err := m.QMP("blockdev-change-medium", map[string]any{"id": "cdrom", "filename": path, "format": "raw", "read-only-mode": "read-only"})
	return err
}

// Keys presses keys on the machine's keyboard, one after the other: QEMU's
// names of keys, with - between those held together: "down", "ret", "ctrl-alt-f2".
func (m *Machine) Keys(keys ...string) error {
	for _, chord := range keys {
		var held []map[string]string
		for _, key := range strings.Split(chord, "-") {
			held = append(held, map[string]string{"type": "qcode", "data": key})
		}
		if _, err := m.QMP("send-key", map[string]any{"keys": held}); err != nil {
			return err
		}
	}
	return nil
}

// Screenshot writes what the graphical console shows to a PNG file.
func (m *Machine) Screenshot(file string) error {
	ppm := filepath.Join(m.dir, "screen.ppm")
	if _, err := m.QMP("screendump", map[string]any{"filename": ppm}); err != nil {
		return err
	}
	in, err := os.Open(ppm)
	if err != nil {
		return err
	}
	defer in.Close()
	picture, err := decodePPM(in)
	if err != nil {
		return err
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(out, fewColours(picture)); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
