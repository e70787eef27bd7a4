package tui

import "strings"

// Layout breaks a body into lines of at most width cells, cleaned, without
// Cells. A text keeps its own line ends.
func Layout(body []Line, width int) []Line {
	var out []Line
	for i := 0; i < len(body); {
		if body[i].Cells == nil {
			for _, paragraph := range strings.Split(body[i].Text, "\n") {
				for _, s := range wrap(Clean(paragraph), width) {
					out = append(out, Line{Tone: body[i].Tone, Text: s})
				}
			}
			i++
			continue
		}
		end := i
		var rows [][]string
		for ; end < len(body) && body[end].Cells != nil; end++ {
			rows = append(rows, body[end].Cells)
		}
		for j, s := range Columns(rows, width) {
			out = append(out, Line{Tone: body[i+j].Tone, Text: s})
		}
		i = end
	}
	return out
}

// Heads are the names of the columns in which some item has something to show;
// the others are empty, so that Columns leaves them out. nil without a Head.
func (p Page) Heads() []string {
	if p.Head == nil {
		return nil
	}
	heads := make([]string, len(p.Head))
	for _, it := range p.Items {
		for j, cell := range it.Cells {
			if j < len(heads) && strings.TrimSpace(Clean(cell)) != "" {
				heads[j] = p.Head[j]
			}
		}
	}
	return heads
}

// gap is the number of spaces between two columns.
const gap = 2

// Columns sets rows of cells into columns of a table at most width cells wide;
// the widest columns are cut when there is too little room.
func Columns(rows [][]string, width int) []string {
	var widths []int
	clean := make([][]string, len(rows))
	for i, row := range rows {
		for j, cell := range row {
			cell = strings.TrimSpace(Clean(cell))
			clean[i] = append(clean[i], cell)
			if j == len(widths) {
				widths = append(widths, 0)
			}
			widths[j] = max(widths[j], Width(cell))
		}
	}
	fit(widths, width)
	out := make([]string, len(rows))
	for i, row := range clean {
		var line strings.Builder
		for j, cell := range row {
			if widths[j] == 0 {
				continue
			}
			if line.Len() > 0 {
				line.WriteString(strings.Repeat(" ", gap))
			}
			line.WriteString(pad(cell, widths[j]))
		}
		out[i] = Cut(strings.TrimRight(line.String(), " "), width)
	}
	return out
}

// fit takes cells from the widest column until the table is narrow enough.
func fit(widths []int, width int) {
	const narrow = 4
	for {
		total, widest := -gap, 0
		for j, w := range widths {
			if w > 0 {
				total += w + gap
			}
			if w > widths[widest] {
				widest = j
			}
		}
		if total <= width || len(widths) == 0 || widths[widest] <= narrow {
			return
		}
		widths[widest]--
	}
}

// Keys gives each item the character that chooses it: its own, or the next
// free of 1 to 9, a to z; 0 when there are no more. The letter q is kept for
// going back.
func Keys(items []Item) []rune {
	taken := map[rune]bool{'q': true}
	for _, it := range items {
		taken[it.Key] = true
	}
	const all = "123456789abcdefghijklmnopqrstuvwxyz"
	next := 0
	keys := make([]rune, len(items))
	for i, it := range items {
		if keys[i] = it.Key; it.Key != 0 {
			continue
		}
		for next < len(all) && taken[rune(all[next])] {
			next++
		}
		if next < len(all) {
			keys[i] = rune(all[next])
			next++
		}
	}
	return keys
}
