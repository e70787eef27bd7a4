package jobfile

import (
	"slices"
	"strings"

	"doppel.live/internal/inventory"
)

// jobFields are the fields of a job file.
const jobFields = "name images credentials before steps after then"

// readJob reads the outermost object.
func readJob(v value) (Job, error) {
	var j Job
	members, err := v.object()
	if err != nil {
		return j, err
	}
	for _, m := range members {
		if err := j.take(m); err != nil {
			return j, err
		}
	}
	if len(j.Steps) == 0 {
		return j, v.wrong(`there are no "steps"`)
	}
	if j.Credentials != "" && j.Images == "" {
		return j, v.wrong(`"credentials" are for a place: name it in "images"`)
	}
	return j, nil
}

func (j *Job) take(m member) error {
	switch m.name {
	case "name":
		return m.text(&j.Name)
	case "images":
		if err := m.text(&j.Images); err != nil {
			return err
		}
		if err := checkImages(j.Images); err != nil {
			return m.wrong("%v", err)
		}
		return nil
	case "credentials":
		return m.text(&j.Credentials)
	case "before":
		return m.commands(&j.Before)
	case "after":
		return m.commands(&j.After)
	case "then":
		if err := m.text(&j.Then); err != nil {
			return err
		}
		if !slices.Contains([]string{"poweroff", "reboot", "shell", "menu"}, j.Then) {
			return m.wrong("%q is none of poweroff, reboot, shell, menu", j.Then)
		}
		return nil
	case "steps":
		return j.steps(m.value)
	}
	return m.wrong("no such field; a job has %s", listed(jobFields))
}

func (j *Job) steps(v value) error {
	list, err := v.array()
	if err != nil {
		return err
	}
	for _, x := range list {
		s, err := readStep(x)
		if err != nil {
			return err
		}
		j.Steps = append(j.Steps, s)
	}
	return nil
}

// readStep reads one step. Which fields it may have depends on its command.
func readStep(v value) (Step, error) {
	var s Step
	members, err := v.object()
	if err != nil {
		return s, err
	}
	at := slices.IndexFunc(members, func(m member) bool { return m.name == "command" })
	if at < 0 {
		return s, v.wrong(`"command" is missing: save, restore, clone or verify`)
	}
	if err := members[at].text(&s.Command); err != nil {
		return s, err
	}
	fields := strings.Fields(allowed[s.Command])
	if len(fields) == 0 {
		return s, members[at].wrong("%q is none of save, restore, clone, verify", s.Command)
	}
	seen := map[string]bool{}
	for _, m := range members {
		seen[m.name] = true
		if !slices.ContainsFunc(fields, func(f string) bool { return strings.TrimSuffix(f, "!") == m.name }) &&
			!slices.Contains([]string{"command", "before", "after"}, m.name) {
			return s, m.wrong("%s has no such field; it has %s", s.Command, listed("before after "+strings.ReplaceAll(allowed[s.Command], "!", "")))
		}
		if err := s.take(m); err != nil {
			return s, err
		}
	}
	for _, f := range fields {
		if name, must := strings.CutSuffix(f, "!"); must && !seen[name] {
			return s, v.wrong("%s needs %q", s.Command, name)
		}
	}
	if s.Retries != nil && !s.Rescue {
		return s, v.wrong(`"retries" goes with "rescue"`)
	}
	return s, nil
}

func (s *Step) take(m member) error {
	switch m.name {
	case "image":
		return m.text(&s.Image)
	case "source":
		s.Sources = []string{""}
		return m.text(&s.Sources[0])
	case "sources":
		return m.texts(&s.Sources)
	case "targets":
		return s.targets(m.value)
	case "except":
		return m.names(&s.Except)
	case "only":
		return m.names(&s.Only)
	case "compress":
		return m.text(&s.Compress)
	case "split":
		return m.text(&s.Split)
	case "rescue":
		return m.flag(&s.Rescue)
	case "resume":
		return m.flag(&s.Resume)
	case "retries":
		return m.number(&s.Retries, 100)
	case "keep_table":
		return m.flag(&s.Keep)
	case "verify":
		return m.flag(&s.Verify)
	case "delta":
		return m.flag(&s.Delta)
	case "before":
		return m.commands(&s.Before)
	case "after":
		return m.commands(&s.After)
	}
	return nil // command
}

// targets reads what is written to, and sees whether a rule can be read before
// anything begins.
func (s *Step) targets(v value) error {
	if err := v.texts(&s.Targets); err != nil {
		return err
	}
	for i, t := range s.Targets {
		if text, ok := strings.CutPrefix(t, "rule:"); ok {
			if _, err := inventory.ParseRule(text); err != nil {
				return v.wrong("%v", err)
			}
		}
		s.Targets[i] = kernelName(t)
	}
	return nil
}

// listed joins words for a sentence.
func listed(words string) string { return strings.Join(strings.Fields(words), ", ") }
