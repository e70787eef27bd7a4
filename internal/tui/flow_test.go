package tui

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"doppel.live/internal/tui/job"
)

func TestSave(t *testing.T) {
	r := machine()
	r.replies["doppel save /dev/sda lab2 --plan"] = reply{lines: []string{savePlan}}
	s := play(t, r, with(saveMoves, move{"Saved: Done", "Continue"})...)
	r.want(t, "doppel save /dev/sda lab2 --json")
	s.holds("lab is complete", "- sda2 was not clean", "doppel save /dev/sda lab2 --json", "/save-20260131-120000.log",
		"every byte", "sda2: nobody reads xfs yet", "99.0 MB", "Quick", "XYZS3Z9", "1.0 GB")
	if last := s.shows[len(s.shows)-1]; last.Percent != 0 || !strings.Contains(last.Short, "0:00 so far") {
		t.Errorf("progress %+v", last)
	}
}

func TestSavePartitions(t *testing.T) {
	r := machine()
	r.replies["doppel save /dev/sda1 /dev/sda2 lab2 --plan"] = reply{lines: []string{savePlan}}
	play(t, r, move{"What would", "Save"}, move{"which disk", "/dev/sda"}, move{"which partitions", "Only"},
		move{"which partitions", "sda1,sda2"}, move{"be called", "lab2"}, move{"plan", "Start"}, move{"Saved", "Continue"})
	r.want(t, "doppel save /dev/sda1 /dev/sda2 lab2 --json")
}

func TestSaveDiskWithoutPartitions(t *testing.T) {
	r := machine()
	r.replies["doppel save /dev/sdb sdb-2026-01-31 --plan"] = reply{lines: []string{savePlan}}
	play(t, r, move{"What would", "Save"}, move{"which disk", "/dev/sdb"}, move{"be called", ""},
		move{"plan", "<"}, move{"be called", "<"}, move{"which disk", "<"})
	r.want(t)
}

func TestSaveNames(t *testing.T) {
	s := play(t, machine(), with(saveMoves[:3], move{"called", "lab"}, move{"called", "-x"}, move{"called", "a/b"},
		move{"called", " "}, move{"called", strings.Repeat("x", 65)}, move{"called", "é"}, move{"called", "<"})...)
	s.holds("image of this name already", "letter or digit first", "needs a name", "too long", "quick-2026-01-31")
	if got := suggest(disk{Model: "  A/B  c--d é "}, time.Unix(0, 0).UTC(), map[string]bool{"a-b-c-d-1970-01-01": true}); got != "a-b-c-d-1970-01-01-2" || !goodName(got) {
		t.Errorf("suggested %q", got)
	}
}

func TestSaveWithoutPlace(t *testing.T) {
	r := machine()
	r.replies["place status"] = reply{lines: []string{`{"current":null}`}}
	s := play(t, r, move{"What would", "Save"}, move{"Where are", "/dev/sda1"}, move{"cannot be used", "Continue"},
		move{"Where are", "/dev/sdc1"}, move{"Where are", "Continue"}, move{"which disk", "<"}, move{"What would", "Restore"},
		move{"Where are", "<"})
	s.holds("it is on the disk of this machine", "Images are kept on /dev/sdc1 KEEP now")
	r.want(t, "place use /dev/sdc1 --json")
}

func TestRestore(t *testing.T) {
	r := machine()
	s := play(t, r, with(restoreMoves, move{"Restored: Done", "Continue"})...)
	r.want(t, "doppel restore lab /dev/sdb --consent c0ffee --json")
	s.holds("Slow", "ABC1234", "2.0 GB", `GPT: ntfs "Holidays"`, "type the last 4 characters of the serial number")
}

func TestRestorePartitions(t *testing.T) {
	r := machine()
	r.replies["doppel restore lab /dev/sdb --only sda1,sda2 --consent"] = reply{lines: []string{resultOK}}
	play(t, r, move{"What would", "Restore"}, move{"which image", "lab"}, move{"which parts", "Only"}, move{"which parts", "sda1,sda2"},
		move{"which disk", "/dev/sdb"}, move{"plan", "Start"}, move{"sure", "1234"}, move{"Restored: Done", "Continue"})
	r.want(t, "doppel restore lab /dev/sdb --only sda1,sda2 --consent c0ffee --json")
}

// Going back from every page, again and again, ends on the main page, and
// nothing has run.
func TestBackFromEveryPage(t *testing.T) {
	for name, moves := range map[string][]move{"save": saveMoves, "restore": restoreMoves} {
		for n := 1; n < len(moves); n++ {
			t.Run(fmt.Sprint(name, n), func(t *testing.T) {
				r := machine()
				r.replies["doppel save /dev/sda lab2 --plan"] = reply{lines: []string{savePlan}}
				var back []move
				for i := n; i > 0; i-- {
					back = append(back, move{moves[i].page, "<"})
				}
				play(t, r, with(moves[:n], back...)...)
				r.want(t)
			})
		}
	}
}

func TestWrongConfirmationWritesNothing(t *testing.T) {
	for _, typed := range []string{"", "123", "12345", "234", "ABC1234", "yes", "1 2 3 4"} {
		r := machine()
		s := play(t, r, with(restoreMoves[:5], move{"sure", typed}, move{"Failed", "Continue"}, move{"plan", "<"},
			move{"which disk", "<"}, move{"which parts", "<"}, move{"which image", "<"})...)
		r.want(t)
		s.holds("Nothing was written")
	}
}

// A plan that does not say how to confirm it is no plan.
func TestPlanWithoutConfirmation(t *testing.T) {
	for _, missing := range []string{`"expect":"1234"`, `"consent":"c0ffee"`} {
		r := machine()
		empty := strings.SplitAfter(missing, ":")[0] + `""`
		r.replies["doppel restore lab /dev/sdb --plan"] = reply{lines: []string{strings.Replace(restorePlan, missing, empty, 1)}}
		play(t, r, with(restoreMoves[:5], move{"Not restored: Failed", "Continue"}, move{"which disk", "<"},
			move{"which parts", "<"}, move{"which image", "<"})...)
		r.want(t)
	}
}

func TestRefusedPlan(t *testing.T) {
	for _, status := range []int{0, 3} {
		r := machine()
		r.replies["doppel restore lab /dev/sdb --plan"] = reply{exit: job.Exit{Status: status},
			lines: []string{strings.Replace(restorePlan, `"bytes":5}}`, `"bytes":5,"refusals":["sdb1 is mounted: unmount it"],"warnings":["old"]}}`, 1)}}
		s := play(t, r, with(restoreMoves[:4], move{"plan", "Back"}, move{"which disk", "<"}, move{"which parts", "<"}, move{"which image", "<"})...)
		r.want(t)
		s.holds("This cannot be done", "- sdb1 is mounted: unmount it", "- old")
		if strings.Contains(s.seen[4], "Start") {
			t.Errorf("a refused plan can be started:\n%s", s.seen[4])
		}
	}
}

func TestNoPlan(t *testing.T) {
	for name, c := range map[string]struct {
		r    reply
		want string
	}{
		"result":   {reply{lines: []string{resultFail}, exit: job.Exit{Status: 1}}, "try another cable"},
		"nothing":  {reply{}, "without saying"},
		"crash":    {reply{exit: job.Exit{Status: -1, Signal: "killed"}}, "was killed (killed)"},
		"no start": {reply{err: errors.New("exec format error")}, "exec format error"},
		"garbage":  {reply{lines: []string{`{"event":"plan","plan":"x"}`, "panic: oh"}, exit: job.Exit{Status: 2}}, "panic: oh"},
		"status":   {reply{lines: []string{restorePlan}, exit: job.Exit{Status: 1}}, "status 1"},
	} {
		t.Run(name, func(t *testing.T) {
			r := machine()
			r.replies["doppel restore lab /dev/sdb --plan"] = c.r
			s := play(t, r, with(restoreMoves[:4], move{"Not restored: Failed", "Continue"}, move{"which disk", "<"},
				move{"which parts", "<"}, move{"which image", "<"})...)
			r.want(t)
			s.holds(c.want)
		})
	}
}

func TestJobsThatFail(t *testing.T) {
	for name, c := range map[string]struct {
		r     reply
		title string
		want  []string
	}{
		"says so":         {reply{lines: []string{resultFail}, exit: job.Exit{Status: 1}}, "Not restored: Failed", []string{"input/output error", "try another cable"}},
		"no result":       {reply{lines: []string{`{"event":"start","total":5}`}}, "Not restored: Failed", []string{"without saying how"}},
		"killed":          {reply{exit: job.Exit{Status: -1, Signal: "segmentation fault"}}, "Not restored: Failed", []string{"was killed (segmentation fault)"}},
		"no start":        {reply{err: errors.New("no such file")}, "Not restored: Failed", []string{"could not be started: no such file"}},
		"status and good": {reply{lines: []string{resultOK}, exit: job.Exit{Status: 1}}, "Not restored: Failed", []string{"status 1"}},
		"garbage":         {reply{lines: []string{"\x1b[31m{bad", "stderr:panic: oh"}, exit: job.Exit{Status: 2}}, "Not restored: Failed", []string{"?[31m{bad", "panic: oh"}},
		"damage":          {reply{lines: []string{`{"event":"result","text":"3 sectors are missing","status":4}`}, exit: job.Exit{Status: 4}}, "Restored: Done with damage", []string{"3 sectors"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := machine()
			r.replies["doppel restore lab /dev/sdb --consent"] = c.r
			s := play(t, r, with(restoreMoves, move{c.title, "Continue"})...)
			s.holds(c.want...)
			s.holds("doppel restore lab /dev/sdb --consent c0ffee --json")
		})
	}
}

func TestStop(t *testing.T) {
	r := machine()
	s := play(t, r, move{"What would", "Check"}, move{"which image", "lab"}, move{"Checking lab", "stop"}, move{"Check: Failed", "Continue"})
	s.holds("You stopped the job")
}

func TestCheck(t *testing.T) {
	r := machine()
	s := play(t, r, move{"What would", "Check"}, move{"which image", "half"}, move{"half", "Continue"}, move{"which image", "-rf"},
		move{"-rf", "Continue"}, move{"which image", "Look again"}, move{"which image", "lab"}, move{"Checked: Done", "Continue"})
	r.want(t, "doppel verify lab --json")
	s.holds("not complete")
}

// The page of a check says of each volume why it cannot be restored.
func TestCheckReport(t *testing.T) {
	r := machine()
	r.replies["doppel verify"] = reply{exit: job.Exit{Status: 1}, lines: []string{`{"event":"result","text":"image lab is damaged","status":1,"report":{"volumes":[` +
		`{"name":"sda1","restorable":true,"method":"blocks","notes":["it has no checksum of its blocks"]},` +
		`{"name":"sda2","restorable":false,"method":"raw","problems":["checksum of the frame at byte 4096"]},` +
		`{"name":"sda3","restorable":true,"method":"absent"}],"problems":["parts has another sum"]}}`}}
	s := play(t, r, move{"What would", "Check"}, move{"which image", "lab"}, move{"Check: Failed", "Continue"})
	s.holds("sda1: can be restored", "it has no checksum", "sda2: CANNOT be restored", "frame at byte 4096", "sda3: is not in the image", "parts has another sum")
}

func TestPlace(t *testing.T) {
	r := machine()
	r.replies["place use"] = reply{exit: job.Exit{Status: 1}, lines: []string{`{"ok":false,"error":"it was not closed properly","next":"start the system on it"}`}}
	s := play(t, r, move{"What would", "Choose"}, move{"Where", "Look again"}, move{"Where", "/dev/sdc1"},
		move{"cannot be used", "Continue"}, move{"Where", "<"})
	s.holds("it was not closed properly", "start the system on it")

	r.replies["place use"] = reply{lines: []string{`{"ok":true,"read_only":true,"next":"take the protection off"}`}}
	s = play(t, r, move{"What would", "Choose"}, move{"Where", "/dev/sdc1"}, move{"Where", "Continue"})
	s.holds("nothing can be saved there", "Next: take the protection off")
}

// Who does not wait for the answer of place status keeps the place.
func TestPlaceStays(t *testing.T) {
	r := machine()
	m := menuOf(t, &script{t: t}, r)
	m.look()
	r.replies["place status"] = reply{exit: job.Exit{Signal: "terminated"}}
	if m.look(); m.place == nil || m.place.Spec != "/dev/sdc1" || !strings.Contains(m.status, "KEEP") {
		t.Errorf("the place is %v, %q", m.place, m.status)
	}
	r.replies["place status"] = reply{lines: []string{`{"current":null}`}}
	if m.look(); m.place != nil {
		t.Errorf("the place is %v, and there is none", m.place)
	}
}

func TestDisks(t *testing.T) {
	s := play(t, machine(), move{"What would", "Disks"}, move{"Disks and", "/dev/sda"}, move{"Disk /dev/sda", "Continue"},
		move{"Disks and", "/dev/sdb"}, move{"Disk /dev/sdb", "<"}, move{"Disks and", "Look again"}, move{"Disks and", "<"})
	s.holds("good: 31 degrees", "FAILING: 12 bad sectors", "1.0 GB (1000000000 bytes", "no serial number", "sda2: nobody reads xfs yet")
}

// Nothing there, or no answer: said, and back.
func TestEmptyMachine(t *testing.T) {
	r := machine()
	r.replies["doppel disks"] = reply{lines: []string{`{"disks":[]}`}}
	r.replies["doppel images"] = reply{lines: []string{`{"images":null}`}}
	r.replies["place list"] = reply{lines: []string{`{"places":[]}`}}
	s := play(t, r, move{"What would", "Save"}, move{"which disk", "<"}, move{"What would", "Restore"}, move{"which image", "<"},
		move{"What would", "Choose"}, move{"Where", "<"})
	s.holds("No disk was found", "There is no image", "No disk or stick")

	r.replies["doppel disks"] = reply{lines: []string{`{"event":"result","ok":false,"text":"not root","next":"be root"}`}, exit: job.Exit{Status: 1}}
	r.replies["place list"] = reply{lines: []string{"oh no", "stderr:worse"}, exit: job.Exit{Status: 9}}
	r.replies["place status"] = reply{}
	s = play(t, r, move{"What would", "Disks"}, move{"Failed", "Continue"}, move{"What would", "Choose"}, move{"Failed", "<"})
	s.holds("not root", "Next: be root", "oh no", "worse", "status 9", "place list --json")
}

func TestShellAndPower(t *testing.T) {
	r := machine()
	r.replies["reboot"] = reply{exit: job.Exit{Status: 1}, lines: []string{"stderr:no"}}
	s := play(t, r, move{"What would", "Shell"}, move{"What would", "Power off"}, move{"Power off", "No"},
		move{"What would", "Power off"}, move{"Power off", "<"}, move{"What would", "Restart"}, move{"Restart", "Yes"}, move{"Failed", "Continue"},
		move{"What would", "Power off"}, move{"Power off", "Yes"})
	r.want(t, "attached: /bin/sh", "reboot", "poweroff")
	s.holds("Type exit to come back")
}

func TestNoPowerOffWhileAJobRuns(t *testing.T) {
	r := machine()
	s := &script{t: t, moves: []move{{"What would", "Power off"}, {"Power off", "Continue"}, {"What would", "Power off"}, {"Power off", "Yes"}}}
	m := menuOf(t, s, r)
	m.Busy = &Busy{Path: t.TempDir() + "/job.lock"}
	free := m.Busy.hold()
	freed := false
	m.Now = func() time.Time { return time.Now() }
	s2 := &freeing{script: s, after: 2, free: func() { free(); freed = true }}
	m.Dialogue = s2
	if err := m.Main(); !errors.Is(err, ErrClosed) || !freed {
		t.Error(err, freed)
	}
	s.holds("still running on another console")
	r.want(t, "poweroff")
}

// freeing is a script that ends the job of another menu after some pages.
type freeing struct {
	*script
	after int
	free  func()
}

func (f *freeing) Choose(p Page) ([]int, error) {
	got, err := f.script.Choose(p)
	if f.after--; f.after == 0 {
		f.free()
	}
	return got, err
}

func TestRun(t *testing.T) {
	const restore = "restore lab serial:S3Z9 --yes"
	bad := reply{lines: []string{resultFail}, exit: job.Exit{Status: 1}}
	for name, c := range map[string]struct {
		words string
		then  Then
		reply reply
		moves []move
		ok    bool
		jobs  []string
	}{
		"power off":           {restore, ThenPowerOff, reply{lines: []string{resultOK}}, []move{{"Restored: Done", ""}}, true, []string{"doppel restore lab serial:S3Z9 --yes --json", "poweroff"}},
		"reboot":              {restore, ThenReboot, reply{lines: []string{resultOK}}, []move{{"Restored: Done", ""}}, true, []string{"doppel restore lab serial:S3Z9 --yes --json", "reboot"}},
		"stopped countdown":   {restore, ThenPowerOff, reply{lines: []string{resultOK}}, []move{{"Restored: Done", "Stay"}}, true, []string{"doppel restore lab serial:S3Z9 --yes --json"}},
		"failed, no power":    {restore, ThenPowerOff, bad, []move{{"Not restored: Failed", "Continue"}}, false, []string{"doppel restore lab serial:S3Z9 --yes --json"}},
		"no result, no power": {restore, ThenPowerOff, reply{}, []move{{"Not restored: Failed", "Continue"}}, false, []string{"doppel restore lab serial:S3Z9 --yes --json"}},
		"damage, no power":    {restore, ThenPowerOff, reply{lines: []string{`{"event":"result","status":4}`}, exit: job.Exit{Status: 4}}, []move{{"Done with damage", "Continue"}}, false, []string{"doppel restore lab serial:S3Z9 --yes --json"}},
		"end":                 {restore, ThenEnd, reply{lines: []string{resultOK}}, []move{{"Restored: Done", ""}}, true, []string{"doppel restore lab serial:S3Z9 --yes --json"}},
		"menu":                {restore, ThenMenu, reply{lines: []string{resultOK}}, []move{{"Restored: Done", "Continue"}}, true, []string{"doppel restore lab serial:S3Z9 --yes --json"}},
		"shell":               {restore, ThenShell, reply{lines: []string{resultOK}}, []move{{"Restored: Done", "Continue"}}, true, []string{"doppel restore lab serial:S3Z9 --yes --json", "attached: /bin/sh"}},
		"json is given":       {"verify --json 'lab'", ThenEnd, reply{lines: []string{resultOK}}, []move{{"Done", ""}}, true, []string{"doppel verify --json lab"}},
		"no shell":            {"verify lab; poweroff", ThenEnd, bad, []move{{"Failed", "Continue"}}, false, []string{"doppel verify 'lab;' poweroff --json"}},
		"open quote":          {"verify 'lab", ThenPowerOff, bad, []move{{"Failed", "Continue"}}, false, nil},
		"nothing":             {"", ThenPowerOff, bad, []move{{"Failed", "Continue"}}, false, nil},
		"other command":       {"clone a b", ThenEnd, reply{lines: []string{resultOK}}, []move{{"Done", ""}}, true, []string{"doppel clone a b --json"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := machine()
			r.replies = map[string]reply{"place status": r.replies["place status"], "doppel": c.reply, "poweroff": {}, "reboot": {}}
			s := &script{t: t, moves: c.moves}
			ok, err := menuOf(t, s, r).Run(c.words, c.then)
			if ok != c.ok || err != nil || len(s.moves) > 0 {
				t.Errorf("%v, %v; not seen: %v", ok, err, s.moves)
			}
			var jobs []string
			for _, j := range r.jobs() {
				jobs = append(jobs, strings.Replace(j, " lab; ", " 'lab;' ", 1))
			}
			if !slices.Equal(jobs, c.jobs) {
				t.Errorf("ran %q, want %q", jobs, c.jobs)
			}
		})
	}
}

func TestRunQuery(t *testing.T) {
	r := machine()
	s := &script{t: t, moves: []move{{"Done", ""}}}
	if ok, err := menuOf(t, s, r).Run("disks", ThenEnd); !ok || err != nil {
		t.Error(ok, err)
	}
}

// The terminal goes away in the middle: the flow ends, whatever page it is on.
func TestClosedTerminal(t *testing.T) {
	for n := range restoreMoves {
		r := machine()
		play(t, r, restoreMoves[:n]...)
		r.want(t)
	}
}

const clonePlan = `{"event":"plan","plan":{"image":"sda","source":{"path":"/dev/sda"},"target":{"path":"/dev/sdb","model":"Slow","serial":"ABC1234","size":2000000000,"contents":"x"},` +
	`"consent":"c10ne","confirm":{"ask":"the last 4 characters of the serial number","expect":"1234"},"steps":[{"volume":"sda1","method":"blocks","bytes":5}],"bytes":5}}`

func TestClone(t *testing.T) {
	r := machine()
	r.replies["doppel clone /dev/sda /dev/sdb --plan"] = reply{lines: []string{clonePlan}}
	r.replies["doppel clone /dev/sda /dev/sdb --consent"] = reply{lines: []string{resultOK}}
	s := play(t, r, move{"What would", "Clone"}, move{"shall be copied", "/dev/sda"}, move{"onto which disk", "/dev/sdb"},
		move{"this is the plan", "Start"}, move{"are you sure", "1234"}, move{"Cloned: Done", "Continue"})
	r.want(t, "doppel clone /dev/sda /dev/sdb --consent c10ne --json")
	s.holds("Slow", "ABC1234", "type the last 4 characters")
}

// Several disks at once: one consent, and each disk is confirmed by itself.
func TestSeveralTargets(t *testing.T) {
	r := machine()
	one := strings.TrimSuffix(strings.TrimPrefix(clonePlan, `{"event":"plan","plan":`), "}")
	two := strings.NewReplacer("/dev/sdb", "/dev/sdc", "ABC1234", "QQQ9876", `"1234"`, `"9876"`).Replace(one)
	set := `{"event":"plan","plan":{"image":"lab","consent":"b07h","targets":[` + one + "," + two + `],"bytes":5,"refusals":[],"warnings":[]}}`
	r.replies["doppel restore lab /dev/sdb /dev/sda --plan"] = reply{lines: []string{set}}
	r.replies["doppel restore lab /dev/sdb /dev/sda --consent"] = reply{lines: []string{resultOK}}
	s := play(t, r, move{"What would", "Restore"}, move{"which image", "lab"}, move{"which parts", "The whole"},
		move{"which disk", "Several"}, move{"which disk", "<"}, move{"which disk", "Several"}, move{"which disk", "/dev/sdb,/dev/sda"},
		move{"this is the plan", "Start"}, move{"sure", "1234"}, move{"sure", "9876"}, move{"Restored: Done", "Continue"})
	r.want(t, "doppel restore lab /dev/sdb /dev/sda --consent b07h --json")
	s.holds("QQQ9876", "ABC1234", "/dev/sdc")
}

// What is not in an image stands below the table, whose columns stay one.
func TestImageTable(t *testing.T) {
	r := machine()
	r.replies["doppel images"] = reply{lines: []string{`{"images":[{"name":"lab","complete":true,"volumes":[{"name":"sda1","file_system":"vfat","method":"absent","reason":"not asked for"},` +
		`{"name":"sda2","file_system":"linux_raid_member","size":5}]}]}`}}
	s := play(t, r, move{"What would", "Rename"}, move{"which one", "lab"}, move{"Image lab", "<"}, move{"which one", "<"})
	s.holds("sda1       vfat                      0 bytes  0 bytes\nsda2       linux_raid_member         5 bytes  0 bytes\n- sda1: not asked for")
}

func TestImages(t *testing.T) {
	r := machine()
	for _, c := range []string{"doppel images rename", "doppel images remove", "doppel convert"} {
		r.replies[c] = reply{lines: []string{resultOK}}
	}
	of := func(item string, more ...move) []move {
		return append([]move{{"which one", "lab"}, {"Image lab", item}}, more...)
	}
	moves := []move{{"What would", "Rename"}}
	moves = append(moves, of("Rename", move{"be called", "half"}, move{"be called", "pc"}, move{"Done", "Continue"})...)
	moves = append(moves, of("Remove", move{"Remove lab", "la"}, move{"Failed", "Continue"})...)
	moves = append(moves, of("Remove", move{"Remove lab", "lab"}, move{"Done", "Continue"})...)
	moves = append(moves, of("Make a raw", move{"Done", "Continue"})...)
	moves = append(moves, of("Make a qcow2", move{"Done", "Continue"})...)
	moves = append(moves, of("Write it anew", move{"be called", "lab3"}, move{"Done", "Continue"})...)
	moves = append(moves, of("Check", move{"Checked", "Continue"})...)
	moves = append(moves, move{"which one", "half"}, move{"Image half", "Remove"}, move{"Remove half", "<"})
	s := play(t, r, append(moves, move{"which one", "-rf"}, move{"-rf", "Continue"}, move{"which one", "<"})...)
	r.want(t, "doppel images rename lab pc --json", "doppel images remove lab --yes --json", "doppel convert lab /images/lab.raw --json",
		"doppel convert lab /images/lab.qcow2 --json", "doppel convert lab lab3 --json", "doppel verify lab --json")
	s.holds("not complete", "There is an image of this name already", "Nothing was removed")
}
