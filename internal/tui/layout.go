package tui

import "strings"

// Layout breaks a body into lines of at most width cells, cleaned, without
// Cells. A text keeps its own line ends, and a cell for which its column is too
// narrow goes on below: nothing is lost.
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
		widths := columnWidths(rows, width)
		for j, row := range rows {
			for _, s := range unfold(row, widths, width) {
				out = append(out, Line{Tone: body[i+j].Tone, Text: s})
			}
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

// cleanCell is what is shown of a cell.
func cleanCell(s string) string { return strings.TrimSpace(Clean(s)) }

// columnWidths gives how wide the columns of a table are, so that it is at most
// width cells wide. A row of a single cell needs no column: it may lie over all.
func columnWidths(rows [][]string, width int) []int {
	var widths []int
	for _, row := range rows {
		for j, cell := range row {
			if j == len(widths) {
				widths = append(widths, 0)
			}
			if len(row) > 1 {
				widths[j] = max(widths[j], Width(cleanCell(cell)))
			}
		}
	}
	fit(widths, width)
	return widths
}

// setRow sets cells beside each other, cut where a column is too narrow.
func setRow(row []string, widths []int, width int) string {
	if len(row) == 1 {
		return Cut(cleanCell(row[0]), width)
	}
	var line strings.Builder
	for j, cell := range row {
		if widths[j] == 0 {
			continue
		}
		if line.Len() > 0 {
			line.WriteString(strings.Repeat(" ", gap))
		}
		line.WriteString(pad(cleanCell(cell), widths[j]))
	}
	return Cut(strings.TrimRight(line.String(), " "), width)
}

// unfold sets cells beside each other in as many lines as they need.
func unfold(row []string, widths []int, width int) []string {
	if len(row) == 1 {
		return wrap(cleanCell(row[0]), width)
	}
	parts, lines := make([][]string, len(row)), 1
	for j, cell := range row {
		if cell = cleanCell(cell); widths[j] > 0 {
			if parts[j] = []string{cell}; Width(cell) > widths[j] {
				parts[j] = wrap(cell, widths[j])
			}
			lines = max(lines, len(parts[j]))
		}
	}
	out := make([]string, lines)
	for k := range out {
		cells := make([]string, len(row))
		for j := range row {
			if k < len(parts[j]) {
				cells[j] = parts[j][k]
			}
		}
		out[k] = setRow(cells, widths, width)
	}
	return out
}

// Columns sets rows of cells into columns of a table at most width cells wide;
// the widest columns are cut when there is too little room.
func Columns(rows [][]string, width int) []string {
	widths := columnWidths(rows, width)
	out := make([]string, len(rows))
	for i, row := range rows {
		out[i] = setRow(row, widths, width)
	}
	return out
}

// Unfold is Columns without loss: each row gives as many lines as it needs.
func Unfold(rows [][]string, width int) [][]string {
	widths := columnWidths(rows, width)
	out := make([][]string, len(rows))
	for i, row := range rows {
		out[i] = unfold(row, widths, width)
	}
	return out
}

// CutCells gives, for each row, the cells of which Columns cuts something.
func CutCells(rows [][]string, width int) [][]string {
	widths := columnWidths(rows, width)
	out := make([][]string, len(rows))
	for i, row := range rows {
		for j, cell := range row {
			room := width
			if len(row) > 1 {
				room = widths[j]
			}
			if cell = cleanCell(cell); Width(cell) > room {
				out[i] = append(out[i], cell)
			}
		}
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
// going back, and the own characters of others, which are not seen now.
func Keys(items []Item, others ...Item) []rune {
	taken := map[rune]bool{'q': true}
	for _, it := range others {
		taken[it.Key] = true
	}
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
