package tui

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"doppel.live/internal/tui/job"
)

// networkStatus is what network status prints.
type networkStatus struct {
	Cards []lease `json:"cards"` // what was given
	Links []link  `json:"links"` // what there is
	// Wireless names the cards that cannot be used.
	Wireless []string `json:"wireless"`
}

type lease struct {
	Device  string   `json:"device"`
	Address string   `json:"address"`
	Gateway string   `json:"gateway"`
	DNS     []string `json:"dns"`
}

type link struct {
	Device    string   `json:"device"`
	MAC       string   `json:"mac"`
	Kind      string   `json:"kind"`
	Up        bool     `json:"up"`
	Cable     bool     `json:"cable"`
	Addresses []string `json:"addresses"`
}

// up tells whether any card has an address.
func (s *networkStatus) up() bool {
	for _, l := range s.Links {
		if len(l.Addresses) > 0 {
			return true
		}
	}
	return len(s.Cards) > 0
}

// of gives what a card has been given.
func (s *networkStatus) of(device string) lease {
	for _, c := range s.Cards {
		if c.Device == device {
			return c
		}
	}
	return lease{Device: device}
}

// network is the page of the network cards; each has a page of its own.
func (m *Menu) network() error {
	n := &m.Text.Network
	for {
		var status networkStatus
		if err := m.ask(&status, "network", "status", "--json"); err != nil {
			return err
		}
		page := Page{Title: n.Cards.Title, Body: paragraph(n.Cards.Intro), Help: n.Cards.Help, Head: n.Head}
		for _, l := range status.Links {
			page.Items = append(page.Items, m.cardItem(l, status.of(l.Device)))
		}
		if len(status.Links) == 0 {
			page.Head, page.Body = nil, []Line{{Tone: Warn, Text: n.NoCards}}
		}
		if len(status.Wireless) > 0 {
			page.Body = append(page.Body, Line{Tone: Warn, Text: n.Wireless})
		}
		page.Items = append(page.Items, m.again())
		chosen, err := m.choose(page)
		if err != nil {
			return err
		}
		if chosen < len(status.Links) {
			if err := m.card(status.Links[chosen], status.of(status.Links[chosen].Device)); err != nil && !errors.Is(err, ErrBack) {
				return err
			}
		}
	}
}

func (m *Menu) cardItem(l link, has lease) Item {
	it := Item{Cells: []string{l.Device, m.cable(l), or(has.Address, strings.Join(l.Addresses, " ")), has.Gateway, strings.Join(has.DNS, " ")}}
	it.Note = strings.Trim(l.MAC+", "+l.Kind, ", ")
	if l.Cable {
		it.Tone = Good
	}
	return it
}

// cable says what is known of the cable of a card.
func (m *Menu) cable(l link) string {
	n := &m.Text.Network
	switch {
	case l.Cable:
		return n.Cable
	case l.Up:
		return n.NoCable
	}
	return n.Off
}

// card is the page of one network card.
func (m *Menu) card(l link, has lease) error {
	n := &m.Text.Network
	row := func(name, value string) Line { return Line{Cells: []string{name, or(value, m.Text.Form.Nothing)}} }
	page := Page{Title: fmt.Sprintf(n.Card.Title, l.Device), Help: n.Card.Help,
		Body: []Line{row(n.Head[1], m.cable(l)), row(n.Head[2], or(has.Address, strings.Join(l.Addresses, " "))), row(n.Head[3], has.Gateway),
			row(n.Head[4], strings.Join(has.DNS, " ")), row(n.MAC, l.MAC)},
		Items: []Item{{Cells: []string{n.ItemDHCP}, Note: n.DHCPNote}, {Cells: []string{n.ItemStatic}, Note: n.StaticNote}, {Cells: []string{n.ItemDown}}}}
	chosen, err := m.choose(page)
	if err != nil {
		return err
	}
	switch chosen {
	case 0:
		return m.bringUp(n.Waiting, "network", "up", l.Device)
	case 1:
		return m.fixedAddress([]string{l.Device})
	}
	return m.bringUp(m.Text.Wait, "network", "down", l.Device)
}

// bringUp runs network and shows what it said. It gives ErrBack when that did
// not work and the person has read why.
func (m *Menu) bringUp(title string, argv ...string) error {
	n := &m.Text.Network
	var said bytes.Buffer
	var exit job.Exit
	var err error
	stopped := false
	work := Work{Page: Page{Title: title, Status: m.status}}
	work.Run = func(ctx context.Context, _ func(Progress)) {
		exit, err = m.Runner.Run(ctx, argv, func(l job.Line) {
			said.Write(l.Text)
			said.WriteByte('\n')
		})
		stopped = ctx.Err() != nil
	}
	m.log("run %s", job.Quote(argv))
	if err := m.Dialogue.Watch(work); err != nil {
		return err
	}
	text := strings.TrimSpace(strings.TrimPrefix(said.String(), "network: "))
	switch {
	case stopped:
		return ErrBack
	case err != nil:
		text = fmt.Sprintf(m.Text.NoStart, err)
	case exit.Status == 0:
		return m.tell(n.Done, n.Cards.Help, []Line{{Tone: Good, Text: or(text, m.Text.OtherText)}})
	}
	m.log("network failed: %s", text)
	body := []Line{{Tone: Bad, Text: or(text, m.ended(exit))}, {}, {Text: fmt.Sprintf(m.Text.Next, n.Next)},
		{}, {Tone: Dim, Text: m.Text.Command}, {Text: "  " + job.Quote(argv)}}
	return back(m.tell(n.Failed, n.Cards.Help, body))
}

// fixedAddress is the form that gives one of these cards an address.
func (m *Menu) fixedAddress(devices []string) error {
	t, n := m.Text, &m.Text.Network
	card := &field{name: n.Head[0], value: devices[0], note: n.CardNote, choices: devices}
	address := &field{name: n.Head[2], note: n.AddressNote, check: n.checkAddress}
	gateway := &field{name: n.Head[3], note: n.GatewayNote, check: n.checkNumbers}
	dns := &field{name: n.Head[4], note: n.DNSNote, check: n.checkNumbers}
	f := &form{text: n.Static, head: t.Form.Head, fields: []*field{address, gateway, dns}, at: 1,
		done: []Item{{Cells: []string{n.ItemGive}, Key: 'g'}}}
	if len(devices) > 1 {
		f.fields = append([]*field{card}, f.fields...)
	}
	f.ready = func() string {
		if address.value == "" {
			return n.BadAddress
		}
		return ""
	}
	for {
		if _, err := m.fill(f); err != nil {
			return err
		}
		spec, err := ipSpec(card.value, address.value, gateway.value, dns.value)
		if err == nil {
			err = m.bringUp(n.Waiting, "network", "up", card.value, "--ip", spec)
		}
		if !errors.Is(err, ErrBack) {
			return err
		}
	}
}

// ipSpec writes addresses as the kernel's ip= does:
// 10.0.0.5::10.0.0.1:24::eth0:none:10.0.0.1:10.0.0.2
func ipSpec(device, address, gateway, dns string) (string, error) {
	p, err := netip.ParsePrefix(address)
	if err != nil {
		return "", err
	}
	servers := append(strings.Fields(strings.ReplaceAll(dns, ",", " ")), "", "")
	return fmt.Sprintf("%s::%s:%d::%s:none:%s:%s", p.Addr(), gateway, p.Bits(), device, servers[0], servers[1]), nil
}

func (n *NetworkText) checkAddress(s string) string {
	if p, err := netip.ParsePrefix(s); err == nil && p.Addr().Is4() && p.Bits() > 0 {
		return ""
	}
	return n.BadAddress
}

func (n *NetworkText) checkNumbers(s string) string {
	list := strings.Fields(strings.ReplaceAll(s, ",", " "))
	for _, each := range list {
		if a, err := netip.ParseAddr(each); err != nil || !a.Is4() {
			return n.BadNumbers
		}
	}
	if len(list) > 2 {
		return n.BadNumbers
	}
	return ""
}

// needNetwork offers to bring the network up unless it is.
func (m *Menu) needNetwork() error {
	n := &m.Text.Network
	for {
		var status networkStatus
		if err := m.query(&status, "network", "status", "--json"); errors.Is(err, ErrBack) || errors.Is(err, ErrClosed) {
			return err
		} else if err != nil { // then place will say what is missing
			m.log("network status: %v", err)
			return nil
		}
		if status.up() {
			return nil
		}
		var devices []string
		page := Page{Title: n.Down.Title, Body: paragraph(n.Down.Intro), Help: n.Down.Help,
			Items: []Item{{Cells: []string{n.ItemDHCP}, Note: n.DHCPNote}, {Cells: []string{n.ItemStatic}, Note: n.StaticNote}, {Cells: []string{n.ItemWithout}}}}
		for _, l := range status.Links {
			devices = append(devices, l.Device)
		}
		if len(devices) == 0 {
			page.Body = []Line{{Tone: Warn, Text: n.NoCards}}
			page.Items = page.Items[2:]
		}
		chosen, err := m.choose(page)
		switch {
		case err != nil:
			return err
		case chosen == len(page.Items)-1:
			return nil
		case chosen == 0:
			err = m.bringUp(n.Waiting, "network", "up")
		default:
			err = m.fixedAddress(devices)
		}
		if err != nil && !errors.Is(err, ErrBack) {
			return err
		}
	}
}
