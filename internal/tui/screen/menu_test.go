package screen

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gdamore/tcell/v2"

	"doppel.live/internal/tui"
	"doppel.live/internal/tui/job"
)

// machine is a runner with one disk, one image and one place for images.
type machine struct {
	ran []string
}

var answers = []struct{ command, said string }{
	{"place status", `{"current":{"spec":"/dev/sdc1","label":"KEEP","free":1300000000000}}`},
	{"place list", `{"places":[{"spec":"/dev/sdc1","file_system":"ext4","label":"KEEP","size":2000398934016,"free":1300000000000,"model":"WDC WD20EZRX-00D8PB0","removable":true,"current":true},` +
		`{"spec":"/dev/sr0","file_system":"iso9660","label":"DOPPEL","size":98000000,"free":0,"model":"QEMU DVD-ROM","boot_medium":true,"problem":"it cannot be written"}]}`},
	{"doppel disks", `{"disks":[{"path":"/dev/sda","name":"sda","model":"Samsung SSD 870 EVO 500GB","serial":"S5Y1NX0R123456K","transport":"sata","size":500107862016,"sector_size":512,"physical_sector_size":512,` +
		`"contents":"GPT: vfat \"ESP\", ext4 \"root\", swap","health":{"state":"good","text":"31 degrees, 1204 hours"},"partitions":[` +
		`{"name":"sda1","path":"/dev/sda1","size":536870912,"used":6000000,"file_system":"vfat","label":"ESP"},{"name":"sda2","path":"/dev/sda2","size":490000000000,"used":81000000000,"file_system":"ext4","label":"root"}]},` +
		`{"path":"/dev/nvme0n1","name":"nvme0n1","model":"","serial":"","size":256060514304,"health":{"state":"failing","text":"spare blocks are used up"}}]}`},
	{"doppel images", `{"images":[{"name":"lab-pc","created":"2026-01-02T03:04:05Z","complete":true,"stored":31000000000,"disks":[{"name":"sda","model":"Samsung SSD 870 EVO 500GB","size":500107862016}],"volumes":[{"name":"sda1","file_system":"vfat"},{"name":"sda2","file_system":"ext4"}]}]}`},
	{"doppel save /dev/sda lab-2 --plan", `{"event":"plan","plan":{"image":"lab-2","place":"/images","sources":[{"path":"/dev/sda","model":"Samsung SSD 870 EVO 500GB","serial":"S5Y1NX0R123456K","size":500107862016}],"steps":[` +
		`{"volume":"sda1","file_system":"vfat","method":"raw","bytes":536870912,"reason":"the allocation of vfat is not read yet"},{"volume":"sda2","file_system":"ext4","method":"blocks","bytes":81000000000}],` +
		`"bytes":81536870912,"stored":40000000000,"free":1300000000000,"seconds":640,"warnings":["sda2 was not unmounted cleanly: its journal is saved with it"]}}`},
	{"doppel save /dev/sda lab-2 --json", `{"event":"start","total":100}` + "\n" + `{"event":"warning","text":"sda2: one sector was read at the second try"}` + "\n" +
		`{"event":"result","ok":true,"text":"The image lab-2 is complete: 81.5 GB in 10:40, 38.2 GB stored."}`},
	{"doppel restore lab-pc /dev/sda --plan", `{"event":"plan","plan":{"image":"lab-pc","target":{"path":"/dev/sda","model":"Samsung SSD 870 EVO 500GB","serial":"S5Y1NX0R123456K","size":500107862016,"contents":"GPT: vfat \"ESP\", ext4 \"root\", swap"},` +
		`"consent":"c0ffee","confirm":{"ask":"the last 4 characters of the serial number","expect":"456K"},"steps":[{"volume":"sda1","file_system":"vfat","method":"raw","bytes":536870912},{"volume":"sda2","file_system":"ext4","method":"blocks","bytes":81000000000}],"bytes":81536870912,"seconds":700}}`},
	{"doppel restore lab-pc /dev/nvme0n1 --plan", `{"event":"plan","plan":{"image":"lab-pc","target":{"path":"/dev/nvme0n1","size":256060514304},"refusals":["/dev/nvme0n1 is smaller (256.1 GB) than the disk that was saved (500.1 GB): choose a larger one"]}}`},
	{"doppel restore lab-pc /dev/sda --consent", `{"event":"result","status":1,"text":"/dev/sda: input/output error at 4096","next":"check the cable, then restore again"}`},
}

func (m *machine) Feed(ctx context.Context, argv []string, _ []byte, line func(job.Line)) (job.Exit, error) {
	return m.Run(ctx, argv, line)
}

func (m *machine) Run(_ context.Context, argv []string, line func(job.Line)) (job.Exit, error) {
	command := strings.Join(argv, " ")
	for _, a := range answers {
		if strings.HasPrefix(command, a.command) {
			for said := range strings.SplitSeq(a.said, "\n") {
				line(job.Line{Text: []byte(said)})
			}
			if !strings.Contains(command, "--plan") && argv[0] == "doppel" && (argv[1] == "save" || argv[1] == "restore") {
				m.ran = append(m.ran, command)
			}
			if strings.Contains(a.said, `"status":1`) {
				return job.Exit{Status: 1}, nil
			}
			return job.Exit{}, nil
		}
	}
	return job.Exit{}, errors.New("no such command")
}

func (m *machine) Attach([]string) error { return nil }

// The menu itself, driven by keys as on a serial line; its pages are kept.
func TestMenu(t *testing.T) {
	m := &machine{}
	term := open(t, 80, 25, func(d *Dialogue) error {
		menu := &tui.Menu{Dialogue: d, Runner: m, Text: tui.English(), Shell: []string{"sh"},
			Now: func() time.Time { return time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC) }}
		return menu.Main()
	})
	page := func(name, title string, keys ...any) {
		t.Helper()
		golden(t, "menu-"+name, term.until(title))
		term.press(keys...)
	}
	page("main", "What would", "1")
	page("save-disk", "Save: which disk?", "1")
	page("save-what", "Save: which partitions of", "1")
	page("save-name", "be called?", tcell.KeyCtrlU, "lab-2", tcell.KeyEnter)
	page("save-plan", "Save: this is the plan", "1")
	page("save-done", "Saved: Done", "1")
	term.until("What would")
	term.press("2")
	page("rescue-disk", "Rescue: which disk fails?", "q")
	term.until("What would")
	term.press("3")
	page("restore-image", "Restore: which image?", "1")
	page("restore-what", "which parts of lab-pc", "1")
	page("restore-target", "onto which disk?", "2")
	page("restore-refused", "This cannot be done", "1")
	term.until("onto which disk?")
	term.press("1")
	page("restore-plan", "Restore: this is the plan", "1")
	page("restore-sure", "are you sure?", "456K", tcell.KeyEnter)
	page("restore-failed", "Not restored: Failed", "1")
	term.until("What would")
	term.press("7")
	page("place", "Where are the images?", "q")
	term.until("What would")
	term.press("9")
	page("disks", "Choose one to see more", "1")
	page("disk", "Disk /dev/sda", tcell.KeyF1)
	page("help", "Help: Disk", "x")
	term.until("1204 hours")
	want := []string{"doppel save /dev/sda lab-2 --json", "doppel restore lab-pc /dev/sda --consent c0ffee --json"}
	if !slices.Equal(m.ran, want) {
		t.Errorf("ran %q", m.ran)
	}
	_ = term.sim.PostEvent(tcell.NewEventError(errors.New("hung up")))
	if err := term.done(); !errors.Is(err, tui.ErrClosed) {
		t.Error(err)
	}
}

// After a start to RAM the first page says so.
func TestTakeOut(t *testing.T) {
	text := tui.English()
	for _, toRAM := range []bool{false, true} {
		d := &firstPage{}
		m := tui.Menu{Dialogue: d, Runner: &machine{}, Text: text, Now: time.Now, ToRAM: toRAM}
		if err := m.Main(); !errors.Is(err, tui.ErrClosed) {
			t.Fatal(err)
		}
		said := slices.ContainsFunc(d.page.Body, func(l tui.Line) bool { return l.Text == text.TakeOut })
		if said != toRAM {
			t.Errorf("to RAM %v: the page says %v", toRAM, d.page.Body)
		}
	}
}

// firstPage keeps the first page and goes away.
type firstPage struct{ page tui.Page }

func (d *firstPage) Choose(p tui.Page) ([]int, error) {
	d.page = p
	return nil, tui.ErrClosed
}
func (d *firstPage) Ask(tui.Question) (string, error) { return "", tui.ErrClosed }
func (d *firstPage) Watch(w tui.Work) error {
	w.Run(context.Background(), func(tui.Progress) {})
	return nil
}
func (d *firstPage) Lend(string, func()) error { return nil }
