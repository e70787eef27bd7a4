package tui

import (
	"context"
	"encoding/json"

	"doppel.live/internal/tui/job"
)

// plan runs a command with --plan and gives what it would do. Where there is
// no plan the failure is shown, and the error is ErrBack.
func (m *Menu) plan(v verb, argv []string) (*jobPlan, error) {
	o := &job.Outcome{Argv: argv}
	err := m.Dialogue.Watch(Work{
		Page: Page{Status: m.status, Title: m.Text.Wait},
		Run: func(ctx context.Context, _ func(Progress)) {
			o.Exit, o.Err = m.Runner.Run(ctx, argv, o.Take)
			o.Stopped = ctx.Err() != nil
		},
	})
	if err != nil {
		return nil, err
	}
	if o.Stopped {
		return nil, ErrBack
	}
	p := &jobPlan{}
	if len(o.Plan) > 0 && json.Unmarshal(o.Plan, p) == nil && (o.Exit.Status == 0 || len(p.Refusals) > 0) {
		return p, nil
	}
	if o.Plan != nil && o.Result == nil {
		o.Output = append(o.Output, m.Text.NoAnswer)
	}
	m.logOutcome(o)
	_, body := m.result(v, o)
	if err := m.tell(v.failed, m.Text.Result.Help, body); err != nil {
		return nil, err
	}
	return nil, ErrBack
}

// agree shows a plan and gives nil when it shall be done. A plan that is
// refused cannot be agreed to.
func (m *Menu) agree(text PageText, body []Line, p *jobPlan) error {
	t := m.Text
	if p.Seconds > 0 {
		body = append(body, Line{Cells: []string{t.PlanTime, clock(p.Seconds)}})
	}
	page := Page{Title: text.Title, Help: text.Help, Items: []Item{{Cells: []string{t.ItemStart}}, {Cells: []string{t.Back}}}}
	if len(p.Refusals) > 0 {
		m.log("plan refused: %s", p.Refusals[0])
		page.Items = page.Items[1:]
		page.Body = append(page.Body, Line{Tone: Bad, Text: t.PlanRefused})
		page.Body = append(append(page.Body, bullets(Bad, p.Refusals)...), Line{})
	}
	page.Body = append(append(page.Body, body...), Line{})
	if len(p.Warnings) > 0 {
		page.Body = append(page.Body, Line{Tone: Warn, Text: t.PlanWarning})
		page.Body = append(append(page.Body, bullets(Warn, p.Warnings)...), Line{})
	}
	page.Body = append(page.Body, m.steps(p.Steps)...)
	chosen, err := m.choose(page)
	if err == nil && (chosen != 0 || len(p.Refusals) > 0) {
		return ErrBack
	}
	return err
}

// steps is the table of what a plan does, with the reasons below it.
func (m *Menu) steps(steps []planStep) []Line {
	if len(steps) == 0 {
		return nil
	}
	out := []Line{{Tone: Strong, Cells: m.Text.HeadPlan}}
	var reasons []Line
	for _, s := range steps {
		out = append(out, Line{Cells: []string{s.Volume, or(s.FileSystem, "?"), m.method(s.Method), size(s.Bytes)}})
		if s.Reason != "" {
			reasons = append(reasons, Line{Tone: Dim, Text: "- " + s.Volume + ": " + s.Reason})
		}
	}
	return append(out, reasons...)
}

func (m *Menu) method(s string) string {
	t := m.Text
	switch s {
	case "blocks":
		return t.MethodBlocks
	case "raw":
		return t.MethodRaw
	case "swap":
		return t.MethodSwap
	case "absent":
		return t.MethodAbsent
	}
	return s
}

func bullets(tone Tone, list []string) []Line {
	var out []Line
	for _, s := range list {
		out = append(out, Line{Tone: tone, Text: "- " + s})
	}
	return out
}

// back turns a problem that was shown into a way back.
func back(err error) error {
	if err == nil {
		return ErrBack
	}
	return err
}
