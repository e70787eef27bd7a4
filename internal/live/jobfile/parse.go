package jobfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Error is what is wrong with a job file, and where.
type Error struct {
	Line  int    // from 1
	Field string // such as steps[1].targets; "" for the whole
	What  string
}

func (e *Error) Error() string {
	if e.Field == "" {
		return fmt.Sprintf("line %d: %s", e.Line, e.What)
	}
	return fmt.Sprintf("line %d: %s: %s", e.Line, e.Field, e.What)
}

// value is one JSON value with its place in the file.
type value struct {
	file  []byte
	at    int // offset of raw in file, bytes
	raw   []byte
	field string
}

func (v value) wrong(format string, args ...any) *Error {
	return &Error{Line: 1 + bytes.Count(v.file[:min(v.at, len(v.file))], []byte("\n")), Field: v.field, What: fmt.Sprintf(format, args...)}
}

// member is one of an object.
type member struct {
	name string
	value
}

// Parse reads a job file.
func Parse(data []byte) (Job, error) {
	if len(data) > MaxSize {
		return Job{}, &Error{Line: 1, What: fmt.Sprintf("more than %d bytes", MaxSize)}
	}
	if err := syntax(data); err != nil {
		return Job{}, err
	}
	return readJob(value{file: data, raw: data})
}

// syntax finds what is not JSON at all, or more than one value.
func syntax(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	var all json.RawMessage
	err := d.Decode(&all)
	if err == nil {
		if _, extra := d.Token(); extra == io.EOF {
			return nil
		}
		return value{file: data, at: int(d.InputOffset())}.wrong("something stands behind the end")
	}
	at, what := len(data), "it ends too early"
	if e, ok := err.(*json.SyntaxError); ok {
		at, what = int(e.Offset), "not JSON: "+e.Error()
	}
	return value{file: data, at: at}.wrong("%s", what)
}

// object gives the members of an object in their order; none stands twice.
func (v value) object() ([]member, error) {
	var out []member
	err := v.elements('{', func(d *json.Decoder, raw func() (value, error)) error {
		token, err := d.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string)
		x, err := raw()
		if err != nil {
			return err
		}
		if x.field = name; v.field != "" {
			x.field = v.field + "." + name
		}
		if slices.ContainsFunc(out, func(m member) bool { return m.name == name }) {
			return x.wrong("it stands twice")
		}
		out = append(out, member{name, x})
		return nil
	})
	return out, err
}

// array gives the values of an array.
func (v value) array() ([]value, error) {
	var out []value
	err := v.elements('[', func(_ *json.Decoder, raw func() (value, error)) error {
		x, err := raw()
		x.field = fmt.Sprintf("%s[%d]", v.field, len(out))
		out = append(out, x)
		return err
	})
	return out, err
}

// elements calls each for every element of v, which must begin with opening.
// raw reads the next value.
func (v value) elements(opening json.Delim, each func(d *json.Decoder, raw func() (value, error)) error) error {
	d := json.NewDecoder(bytes.NewReader(v.raw))
	if token, err := d.Token(); err != nil || token != opening {
		return v.wrong("must be %s", map[json.Delim]string{'{': "an object, {…}", '[': "a list, […]"}[opening])
	}
	raw := func() (value, error) {
		var r json.RawMessage
		err := d.Decode(&r)
		return value{file: v.file, at: v.at + int(d.InputOffset()) - len(r), raw: r}, err
	}
	for d.More() {
		if err := each(d, raw); err != nil {
			return err
		}
	}
	return nil
}

// text reads a text without control characters; it must not be empty.
func (v value) text(to *string) error {
	if json.Unmarshal(v.raw, to) != nil || v.raw[0] != '"' {
		return v.wrong("must be a text")
	}
	if *to == "" {
		return v.wrong("is empty")
	}
	if strings.ContainsFunc(*to, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return v.wrong("there are control characters in it")
	}
	return nil
}

func (v value) flag(to *bool) error {
	if s := string(v.raw); s != "true" && s != "false" {
		return v.wrong("must be true or false")
	}
	*to = v.raw[0] == 't'
	return nil
}

func (v value) number(to **int, highest int) error {
	var n int
	if json.Unmarshal(v.raw, &n) != nil || v.raw[0] == 'n' || n < 0 || n > highest {
		return v.wrong("must be a whole number from 0 to %d", highest)
	}
	*to = &n
	return nil
}

// texts reads a list of texts that is not empty.
func (v value) texts(to *[]string) error {
	list, err := v.array()
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return v.wrong("is an empty list")
	}
	for _, x := range list {
		var s string
		if err := x.text(&s); err != nil {
			return err
		}
		*to = append(*to, s)
	}
	return nil
}

// names are texts that stand in an option with commas between them.
func (v value) names(to *[]string) error {
	if err := v.texts(to); err != nil {
		return err
	}
	for _, n := range *to {
		if strings.Contains(n, ",") {
			return v.wrong("%q holds a comma: write one name in each text", n)
		}
	}
	return nil
}

// commands reads a list of programs with their arguments.
func (v value) commands(to *[][]string) error {
	list, err := v.array()
	if err != nil {
		return err
	}
	for _, x := range list {
		var argv []string
		if len(x.raw) > 0 && x.raw[0] == '"' {
			return x.wrong(`must be a program and its arguments as a list, ["program", "argument"]: no shell reads it`)
		}
		args, err := x.array()
		if err != nil {
			return err
		}
		if len(args) == 0 {
			return x.wrong("is an empty list")
		}
		for i, a := range args {
			var s string
			if err := json.Unmarshal(a.raw, &s); err != nil || a.raw[0] != '"' || strings.Contains(s, "\x00") || i == 0 && s == "" {
				return a.wrong("must be a text")
			}
			argv = append(argv, s)
		}
		*to = append(*to, argv)
	}
	return nil
}
