package inventory

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"doppel.live/internal/blockdev"
)

// Rule describes a disk without naming it, for jobs that nobody attends. As
// text it is conditions with commas between them, such as
//
//	size>=200G,size<1T,bus=nvme,model=Samsung*,empty=yes
//
// All must hold. Sizes count as on the label of a disk: G is a power of 1000,
// GiB one of 1024. In model and serial * stands for any text and ? for any one
// character, whatever the case of letters.
type Rule struct {
	text       string
	conditions []condition
}

// condition is one of a rule.
type condition struct {
	key, operator, value string
	bytes                int64 // of size
}

// ruleKeys says which operators each key takes.
var ruleKeys = []struct{ key, operators string }{
	{"size", ">= <= > < = !="}, {"bus", "= !="}, {"model", "= !="}, {"serial", "= !="},
	{"removable", "="}, {"empty", "="}, {"used", "="},
}

// buses are what a disk may be attached by, as blockdev.Disk.Transport has it.
var buses = []string{"sata", "nvme", "usb", "virtio", "scsi", "mmc"}

// ParseRule reads the text of a rule.
func ParseRule(text string) (Rule, error) {
	r := Rule{text: text}
	for part := range strings.SplitSeq(text, ",") {
		c, err := parseCondition(strings.TrimSpace(part))
		if err != nil {
			return Rule{}, fmt.Errorf("rule %q: %w", text, err)
		}
		r.conditions = append(r.conditions, c)
	}
	return r, nil
}

func parseCondition(text string) (condition, error) {
	at := strings.IndexAny(text, "<>=!")
	if at < 1 {
		return condition{}, fmt.Errorf("%q is no condition such as size>=200G or bus=nvme", text)
	}
	c := condition{key: text[:at]}
	rest := text[at:]
	c.operator = rest[:1]
	if len(rest) > 1 && rest[1] == '=' {
		c.operator = rest[:2]
	}
	c.value = rest[len(c.operator):]
	return c, c.check()
}

func (c *condition) check() error {
	for _, k := range ruleKeys {
		if k.key != c.key {
			continue
		}
		if !slices.Contains(strings.Fields(k.operators), c.operator) {
			return fmt.Errorf("%s takes only %s", c.key, k.operators)
		}
		return c.checkValue()
	}
	return fmt.Errorf("%q is none of size, bus, model, serial, removable, empty, used", c.key)
}

func (c *condition) checkValue() (err error) {
	switch {
	case c.value == "":
		return fmt.Errorf("%s has no value", c.key)
	case c.key == "size":
		c.bytes, err = parseSize(c.value)
	case c.key == "bus" && !slices.Contains(buses, c.value):
		err = fmt.Errorf("%q is none of %s", c.value, strings.Join(buses, ", "))
	case slices.Contains([]string{"removable", "empty", "used"}, c.key) && c.value != "yes" && c.value != "no":
		err = fmt.Errorf("%s is yes or no", c.key)
	}
	return err
}

// parseSize reads a number of bytes: 500G is 500·10⁹, 500GiB is 500·2³⁰.
func parseSize(text string) (int64, error) {
	digits := strings.TrimRight(text, "KMGTPkmgtpiBb")
	factor, ok := map[string]int64{
		"": 1, "B": 1, "K": 1e3, "KB": 1e3, "M": 1e6, "MB": 1e6, "G": 1e9, "GB": 1e9, "T": 1e12, "TB": 1e12, "P": 1e15, "PB": 1e15,
		"KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40, "PIB": 1 << 50,
	}[strings.ToUpper(text[len(digits):])]
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil || !ok || !(n >= 0) || n*float64(factor) >= math.MaxInt64 {
		return 0, fmt.Errorf("%q is no size such as 200G or 1.5T", text)
	}
	return int64(n * float64(factor)), nil
}

// meets tells whether a disk meets the rule. contents is asked only where the
// rest holds: it reads the disk.
func (r Rule) meets(d blockdev.Disk, contents func(blockdev.Disk) string) bool {
	for _, c := range r.conditions {
		if c.key != "empty" && !c.meets(d) {
			return false
		}
	}
	for _, c := range r.conditions {
		if c.key == "empty" && (contents(d) == "empty") != (c.value == "yes") {
			return false
		}
	}
	return true
}

func (c condition) meets(d blockdev.Disk) bool {
	var is bool
	switch c.key {
	case "size":
		return c.compares(d.Size)
	case "bus":
		is = d.Transport == c.value
	case "model":
		is = glob(strings.ToLower(c.value), strings.ToLower(d.Model))
	case "serial":
		is = glob(strings.ToLower(c.value), strings.ToLower(d.Serial))
	case "removable":
		is = d.Removable == (c.value == "yes")
	case "used":
		is = (len(d.InUse) > 0) == (c.value == "yes")
	}
	return is == (c.operator == "=")
}

func (c condition) compares(size int64) bool {
	switch c.operator {
	case ">=":
		return size >= c.bytes
	case "<=":
		return size <= c.bytes
	case ">":
		return size > c.bytes
	case "<":
		return size < c.bytes
	case "!=":
		return size != c.bytes
	}
	return size == c.bytes
}

// glob matches a whole text with a pattern of *, ? and other characters. It
// takes time in the order of the product of both lengths.
func glob(pattern, text string) bool {
	p, t := []rune(pattern), []rune(text)
	i, j, star, mark := 0, 0, -1, 0
	for j < len(t) {
		switch {
		case i < len(p) && p[i] == '*':
			star, mark = i, j
			i++
		case i < len(p) && (p[i] == '?' || p[i] == t[j]):
			i++
			j++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}

// Find gives the path of the disk that alone meets the rule. The medium that
// the live system was started from, what cannot be written and loop devices
// never do; a disk in use does, unless used=no is a condition, so that two
// that fit are never one by chance.
func (r Rule) Find(disks []blockdev.Disk, contents func(blockdev.Disk) string) (string, error) {
	var found []string
	for _, d := range disks {
		if d.BootMedium || d.ReadOnly || d.Transport == "loop" || !r.meets(d, contents) {
			continue
		}
		found = append(found, fmt.Sprintf("%s (%s, serial %s, %s)", d.Path, d.Model, d.Serial, blockdev.Bytes(d.Size)))
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("no disk meets the rule %q: see doppel disks", r.text)
	case 1:
		path, _, _ := strings.Cut(found[0], " (")
		return path, nil
	}
	return "", fmt.Errorf("%d disks meet the rule %q and exactly one must: %s; add a condition", len(found), r.text, strings.Join(found, ", "))
}

// lookupRule finds the one disk of this machine that meets a rule.
func lookupRule(text string) (string, error) {
	r, err := ParseRule(text)
	if err != nil {
		return "", err
	}
	disks, err := blockdev.List()
	if err != nil {
		return "", err
	}
	return r.Find(disks, func(d blockdev.Disk) string { return Show(d).Contents })
}
