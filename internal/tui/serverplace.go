package tui

import (
	"errors"
	"fmt"

	"doppel.live/internal/store/remote"
	"doppel.live/internal/tui/job"
)

// serverItems are the entries of the page of places that lead into a network.
func (m *Menu) serverItems() []Item {
	n := &m.Text.Net
	return []Item{
		{Cells: []string{n.ItemNFS}, Key: 'n'}, {Cells: []string{n.ItemSMB}, Key: 'w'}, {Cells: []string{n.ItemSFTP}, Key: 's'},
		{Cells: []string{n.ItemHTTP}, Key: 'h'}, {Cells: []string{n.ItemURL}, Key: 'u'},
	}
}

// serverPlace is the flow that uses a place in a network: the form of one of
// serverItems, the network, a test.
func (m *Menu) serverPlace(item int) error {
	var s *server
	schemes := []string{remote.NFS, remote.SMB, remote.SFTP, remote.HTTP}
	if item < len(schemes) {
		scheme := schemes[item]
		if m.servers == nil {
			m.servers = map[string]*server{}
		}
		if m.servers[scheme] == nil {
			m.servers[scheme] = m.newServer(scheme)
		}
		s = m.servers[scheme]
	} else {
		var err error
		if s, err = m.askURL(); err != nil {
			return err
		}
	}
	return m.serverForm(s)
}

// serverForm shows the form of a server until the place is used.
func (m *Menu) serverForm(s *server) error {
	t, n := m.Text, &m.Text.Net
	f := &form{text: n.Forms[s.scheme], head: t.Form.Head, fields: s.fields(),
		done: []Item{{Cells: []string{n.UseIt}, Note: n.UseItNote, Key: 'g'}, {Cells: []string{n.TestIt}, Note: n.TestItNote, Key: 't'}}}
	if s.host.value == "" {
		f.at = len(f.done)
	}
	f.ready = func() string {
		if s.host.value == "" {
			return n.NoHost
		}
		_, err := s.location()
		return problemOf(err)
	}
	for {
		chosen, err := m.fill(f)
		if err != nil {
			return err
		}
		verb := []string{"use", "test"}[chosen]
		if err = m.needNetwork(); err == nil {
			err = m.tryServer(s, verb)
		}
		if err == nil && verb == "use" {
			s.forget()
			return nil
		}
		if err != nil && !errors.Is(err, ErrBack) {
			return err
		}
	}
}

// tryServer lets place test or use a server, and asks for what that wants to
// know: another password, consent to a key. It gives ErrBack when that did not
// work and the person has read why.
func (m *Menu) tryServer(s *server, verb string) error {
	for {
		l, a, err := m.askServer(s, verb)
		if err != nil {
			return err
		}
		m.log("place %s %s: ok %v %s", verb, l, a.OK, a.Reason)
		switch {
		case a.OK && verb == "test":
			return m.serverGood(l, a)
		case a.OK:
			return m.using(&place{Spec: or(a.Spec, l.String()), Path: a.Path}, a)
		case a.Reason == remote.NewKey && a.Fingerprint != "" && a.Fingerprint != s.hostKeys[l.Address()]:
			err = m.agreeKey(s, l, a)
		case a.Reason == remote.OtherKey:
			err = m.otherKey(l, a)
		case a.Reason == remote.Denied && s.scheme != remote.NFS:
			err = m.askLogin(s, l, a)
		default:
			err = back(m.tell(m.Text.PlaceFailed, m.Text.Place.Help, m.refusal(l, a)))
		}
		if err != nil {
			return err
		}
	}
}

// askServer runs place. The credentials go to its standard input and nowhere
// else; should anything of them come back, it is not shown.
func (m *Menu) askServer(s *server, verb string) (l remote.Location, a placeAnswer, err error) {
	if l, err = s.location(); err != nil {
		return l, a, err
	}
	l.HostKey = "" // is in the credentials
	stdin, secrets, err := s.credentials(l)
	if err != nil {
		return l, a, back(m.tell(m.Text.PlaceFailed, m.Text.Place.Help, []Line{{Tone: Bad, Text: fmt.Sprintf(m.Text.Net.NoKeyFile, err)}}))
	}
	argv := []string{"place", verb, l.String(), "--credentials", "-", "--json"}
	err = m.feed(&a, stdin, argv...)
	a.Error, a.Next = remote.Scrub(a.Error, secrets...), remote.Scrub(a.Next, secrets...)
	if err == nil || errors.Is(err, ErrBack) || errors.Is(err, ErrClosed) {
		return l, a, err
	}
	m.log("no answer: %s", job.Quote(argv))
	body := []Line{{Tone: Bad, Text: remote.Scrub(err.Error(), secrets...)}, {}, {Tone: Dim, Text: m.Text.Command}, {Text: "  " + job.Quote(argv)}}
	return l, a, back(m.tell(m.Text.PlaceFailed, m.Text.Place.Help, body))
}

// serverGood says that a test went well.
func (m *Menu) serverGood(l remote.Location, a placeAnswer) error {
	n := &m.Text.Net
	body := []Line{{Tone: Good, Text: fmt.Sprintf(n.TestGood, l)}}
	switch {
	case a.ReadOnly:
		body = append(body, Line{Tone: Warn, Text: n.Reasons[remote.ReadOnly]})
	case a.Reason == remote.Full:
		body = append(body, Line{Tone: Warn, Text: n.Reasons[remote.Full]})
	case a.Free > 0:
		body = append(body, Line{Text: fmt.Sprintf(n.TestFree, size(a.Free))})
	}
	if a.Next != "" {
		body = append(body, Line{Text: fmt.Sprintf(m.Text.Next, a.Next)})
	}
	return m.tell(n.TestTitle, m.Text.Place.Help, body)
}

// refusal says in plain words why a server cannot be used, and what to do.
func (m *Menu) refusal(l remote.Location, a placeAnswer) []Line {
	t, n := m.Text, &m.Text.Net
	body := []Line{{Tone: Bad, Text: or(n.Reasons[a.Reason], n.Reasons[remote.Broken])}, {},
		{Cells: []string{n.Place, l.String()}}}
	if a.Error != "" {
		body = append(body, Line{Cells: []string{n.Said, a.Error}})
	}
	if next := or(a.Next, n.Nexts[a.Reason]); next != "" {
		body = append(body, Line{}, Line{Text: fmt.Sprintf(t.Next, next)})
	}
	return body
}

// askLogin asks for user and password again.
func (m *Menu) askLogin(s *server, l remote.Location, a placeAnswer) error {
	n := &m.Text.Net
	page := Page{Title: n.Denied.Title, Body: m.refusal(l, a), Help: n.Denied.Help,
		Items: []Item{{Cells: []string{n.LoginAgain}}, {Cells: []string{m.Text.Back}}}}
	return walk(
		func() error {
			chosen, err := m.choose(page)
			if err == nil && chosen != 0 {
				return ErrBack
			}
			return err
		},
		func() error { return m.askField(n.Denied, s.user) },
		func() error { return m.askField(n.Denied, s.password) },
	)
}

// agreeKey shows the key of a server that nobody has agreed to yet.
func (m *Menu) agreeKey(s *server, l remote.Location, a placeAnswer) error {
	n := &m.Text.Net
	text := n.NewKey
	if l.Scheme == remote.HTTPS {
		text = n.NewCertificate
	}
	chosen, err := m.choose(Page{Title: text.Title, Help: text.Help, Items: []Item{{Cells: []string{n.KeyNo}}, {Cells: []string{n.KeyYes}}},
		Body: append(m.keyLines(l, a), Line{}, Line{Text: text.Intro})})
	if err == nil && chosen != 1 {
		return ErrBack
	}
	if err == nil {
		m.log("agreed to the key %s of %s", a.Fingerprint, l.Address())
		s.hostKeys[l.Address()] = a.Fingerprint
	}
	return err
}

// keyLines shows what a server showed of its key.
func (m *Menu) keyLines(l remote.Location, a placeAnswer) []Line {
	n := &m.Text.Net
	out := []Line{{Cells: []string{n.Host, l.Address()}}}
	if a.KeyType != "" {
		out = append(out, Line{Cells: []string{n.KeyType, a.KeyType}})
	}
	return append(out, Line{Tone: Strong, Cells: []string{n.Fingerprint, a.Fingerprint}})
}

// otherKey warns of a server that shows another key than the one agreed to. It
// gives ErrBack when that was read.
func (m *Menu) otherKey(l remote.Location, a placeAnswer) error {
	n := &m.Text.Net
	text := n.OtherKey
	if l.Scheme == remote.HTTPS {
		text = n.OtherCertificate
	}
	body := append([]Line{{Tone: Bad, Text: text.Intro}, {}}, m.keyLines(l, a)...)
	body = append(body, Line{}, Line{Text: fmt.Sprintf(m.Text.Next, n.Nexts[remote.OtherKey])})
	return back(m.tell(text.Title, text.Help, body))
}
