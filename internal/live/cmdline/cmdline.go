// Package cmdline holds the kernel command line of the live system, taken
// apart: the doppel.* parameters and those of Clonezilla that have an equal
// here. It reads no file and acts on nothing; whether a target may be
// overwritten is decided where the target is known.
package cmdline

import "strings"

// Param is one parameter of the command line.
type Param struct {
	Key   string
	Value string
	Set   bool // there was a "="
}

// Split takes a kernel command line apart as lib/cmdline.c of the kernel does:
// double quotes keep spaces together, stand around a value or around the
// whole parameter, and are taken off there. Parameters behind a lone "--"
// belong to init and are given too.
func Split(line string) []Param {
	var out []Param
	for i := 0; i < len(line); {
		if space(line[i]) {
			i++
			continue
		}
		start, quoted := i, false
		for i < len(line) && (quoted || !space(line[i])) {
			if line[i] == '"' {
				quoted = !quoted
			}
			i++
		}
		if word := line[start:i]; word != "--" {
			out = append(out, param(word))
		}
	}
	return out
}

func space(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// param reads one word: key, key=value, key="a b" or "key=a b", the last being
// what GRUB makes of the third.
func param(word string) Param {
	if strings.HasPrefix(word, `"`) {
		word = strings.TrimSuffix(word[1:], `"`)
	}
	key, value, set := strings.Cut(word, "=")
	if strings.HasPrefix(value, `"`) {
		value = strings.TrimSuffix(value[1:], `"`)
	}
	return Param{Key: key, Value: value, Set: set}
}

// Fields cuts one value into the arguments of a command: at spaces, with
// single or double quotes and backslash keeping what they hold together. There
// is no expansion of any kind. An open quote ends with the text.
func Fields(text string) []string {
	var out []string
	var word strings.Builder
	var quote byte
	inWord := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && quote != '\'' && i+1 < len(text):
			i++
			word.WriteByte(text[i])
			inWord = true
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '\'' || c == '"'):
			quote, inWord = c, true
		case quote == 0 && space(c):
			if inWord {
				out = append(out, word.String())
				word.Reset()
				inWord = false
			}
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if inWord {
		out = append(out, word.String())
	}
	return out
}

// Quote joins arguments so that Fields gives them back.
func Quote(args []string) string {
	words := make([]string, len(args))
	for i, a := range args {
		if a != "" && !strings.ContainsAny(a, " \t\r\n'\"\\") {
			words[i] = a
			continue
		}
		words[i] = `'` + strings.ReplaceAll(a, `'`, `'\''`) + `'`
	}
	return strings.Join(words, " ")
}
