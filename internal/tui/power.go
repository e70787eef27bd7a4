package tui

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"doppel.live/internal/tui/job"
)

// shell lends the terminal to a shell. How the shell ends is its own business,
// unless it cannot be started at all.
func (m *Menu) shell() error {
	m.log("shell")
	var failed error
	if err := m.Dialogue.Lend(m.Text.ShellBye, func() { failed = m.Runner.Attach(m.Shell) }); err != nil {
		return err
	}
	m.log("shell ended")
	var ended *exec.ExitError
	if failed == nil || errors.As(failed, &ended) {
		return nil
	}
	return m.tell(m.Text.OtherFailed, "", []Line{{Tone: Bad, Text: fmt.Sprintf(m.Text.ShellFailed, failed)}})
}

func (m *Menu) reboot() error   { return m.power(m.Text.Reboot, "reboot") }
func (m *Menu) powerOff() error { return m.power(m.Text.PowerOff, "poweroff") }

// power asks, and then runs the command that ends it all.
func (m *Menu) power(text PageText, command string) error {
	t := m.Text
	if m.Busy.held() {
		return m.tell(text.Title, text.Help, []Line{{Tone: Warn, Text: t.JobRuns}})
	}
	chosen, err := m.choose(Page{Title: text.Title, Body: paragraph(text.Intro), Help: text.Help,
		Items: []Item{{Cells: []string{t.ItemYes}}, {Cells: []string{t.ItemNo}}}, Start: 1})
	if err != nil || chosen != 0 {
		return err
	}
	return m.goDown(command)
}

// goDown runs reboot or poweroff. That returns only when it did not work.
func (m *Menu) goDown(command string) error {
	m.log("%s", command)
	var exit job.Exit
	var failed error
	var said []Line
	err := m.Dialogue.Watch(Work{
		Page: Page{Status: m.status, Title: m.Text.GoesDown},
		Run: func(ctx context.Context, _ func(Progress)) {
			exit, failed = m.Runner.Run(ctx, []string{command}, func(l job.Line) {
				said = append(said, Line{Text: string(l.Text)})
			})
			if failed == nil && exit.Status == 0 {
				select { // it was asked for, and this program is ended soon
				case <-ctx.Done():
				case <-time.After(m.GoingDown):
				}
			}
		},
	})
	if err != nil || failed == nil && exit.Status == 0 {
		return err
	}
	text := m.ended(exit)
	if failed != nil {
		text = failed.Error()
	}
	return m.tell(m.Text.OtherFailed, "", append([]Line{{Tone: Bad, Text: fmt.Sprintf(m.Text.PowerFailed, text)}}, said...))
}

// Busy is a file that menus lock while a job of theirs runs, so that the menu
// on another console does not switch the machine off. A nil Busy never is.
type Busy struct {
	Path string
}

// hold locks the file, together with others, until the function that it gives
// is called. A lock that fails is none: it protects from haste, not from harm.
func (b *Busy) hold() (free func()) {
	f, err := b.open()
	if err != nil {
		return func() {}
	}
	_ = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	return func() { f.Close() }
}

// held tells whether a menu holds it.
func (b *Busy) held() bool {
	f, err := b.open()
	if err != nil {
		return false
	}
	defer f.Close()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil
}

func (b *Busy) open() (*os.File, error) {
	if b == nil {
		return nil, os.ErrNotExist
	}
	return os.OpenFile(b.Path, os.O_RDWR|os.O_CREATE, 0o600)
}
