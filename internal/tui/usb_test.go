package tui

import (
	"strings"
	"testing"
)

const usbPlan = `{"event":"plan","plan":{"image":"Doppel 0123","target":{"path":"/dev/sdb","model":"Slow","serial":"ABC1234","size":2000000000,"contents":"old things"},` +
	`"consent":"5t1c","confirm":{"ask":"the last 4 characters of the serial number","expect":"1234"},` +
	`"steps":[{"volume":"image","file_system":"iso9660","method":"raw","bytes":5},{"volume":"IMAGES","file_system":"exfat","method":"kept","reason":"it is there already"}],"bytes":5,"refusals":[],"warnings":[]}}`

// A stick is made as it was agreed to, with images or without.
func TestUSB(t *testing.T) {
	for name, tt := range map[string]struct {
		what  []move
		words string
	}{
		"alone":       {[]move{{"with images", "Only"}}, ""},
		"with images": {[]move{{"with images", "Copy"}, {"which images", "lab"}}, " --copy lab"},
	} {
		t.Run(name, func(t *testing.T) {
			r := machine()
			r.replies["doppel usb /dev/sdb"+tt.words+" --plan"] = reply{lines: []string{usbPlan}}
			r.replies["doppel usb /dev/sdb"+tt.words+" --consent"] = reply{lines: []string{resultOK}}
			moves := append([]move{{"What would", "Make a Doppel"}, {"which disk", "/dev/sdb"}}, tt.what...)
			s := play(t, r, append(moves, move{"this is the plan", "Start"}, move{"are you sure", "1234"}, move{"Stick: Done", "Continue"})...)
			r.want(t, "doppel usb /dev/sdb"+tt.words+" --consent 5t1c --json")
			s.holds("Slow", "ABC1234", "old things", "kept", "type the last 4 characters")
		})
	}
}

// What was typed wrongly writes nothing, and neither does a plan that refuses.
func TestUSBNotAgreed(t *testing.T) {
	r := machine()
	r.replies["doppel usb /dev/sdb --plan"] = reply{lines: []string{usbPlan}}
	play(t, r, move{"What would", "Make a Doppel"}, move{"which disk", "/dev/sdb"}, move{"with images", "Only"},
		move{"this is the plan", "Start"}, move{"are you sure", "12"}, move{"Failed", "Continue"})
	r.want(t)
	r = machine()
	refusal := strings.Replace(usbPlan, `"refusals":[]`, `"refusals":["too small"]`, 1)
	r.replies["doppel usb /dev/sdb --plan"] = reply{lines: []string{refusal}}
	s := play(t, r, move{"What would", "Make a Doppel"}, move{"which disk", "/dev/sdb"}, move{"with images", "Only"}, move{"this is the plan", "Back"})
	r.want(t)
	s.holds("too small")
}

// What the start has to say of the stick stands on the page of places.
func TestPlaceNote(t *testing.T) {
	r := machine()
	s := &script{t: t, moves: []move{{"What would", "Choose where"}, {"Where are", "<"}}}
	m := &Menu{Dialogue: s, Runner: r, Text: English(), PlaceNote: func() string { return "The stick is strange." }}
	_ = m.Main()
	s.holds("The stick is strange.")
}
