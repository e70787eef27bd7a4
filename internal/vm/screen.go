package vm

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Screen is a small VT100: it keeps the characters that a terminal would show,
// without colours. It knows the sequences of ECMA-48 that full-screen programs
// use to place text; the rest is skipped.
type Screen struct {
	width, height int
	cells         [][]rune
	x, y          int
	savedX        int
	savedY        int
	top, bottom   int // scrolling region, rows
	pending       []byte
	answers       []byte
	graphics      bool // G0 holds line drawing
}

// NewScreen gives an empty screen of that many columns and rows.
func NewScreen(width, height int) *Screen {
	s := &Screen{width: width, height: height, bottom: height - 1}
	s.cells = make([][]rune, height)
	for y := range s.cells {
		s.cells[y] = blank(width)
	}
	return s
}

func blank(width int) []rune { return []rune(strings.Repeat(" ", width)) }

// String is the text of the screen, a line for each row, without trailing spaces.
func (s *Screen) String() string {
	var b strings.Builder
	for _, row := range s.cells {
		b.WriteString(strings.TrimRight(string(row), " "))
		b.WriteByte('\n')
	}
	return b.String()
}

// Answers gives, once, what the terminal sends back to questions such as
// "where is the cursor".
func (s *Screen) Answers() []byte {
	a := s.answers
	s.answers = nil
	return a
}

// Write takes output of a program. It never fails.
func (s *Screen) Write(p []byte) (int, error) {
	data := append(s.pending, p...)
	for len(data) > 0 {
		n := s.step(data)
		if n == 0 {
			break
		}
		data = data[n:]
	}
	s.pending = append([]byte(nil), data...)
	if len(s.pending) > 256 { // an endless sequence is none
		s.pending = nil
	}
	return len(p), nil
}

// step takes one character or sequence and returns its length, 0 when more
// bytes are needed.
func (s *Screen) step(data []byte) int {
	switch c := data[0]; {
	case c == 0x1b:
		return s.escape(data)
	case c == '\r':
		s.x = 0
	case c == '\n':
		s.lineFeed()
	case c == '\b':
		s.x = max(0, s.x-1)
	case c == '\t':
		s.x = min(s.width-1, s.x/8*8+8)
	case c < 0x20 || c == 0x7f:
	default:
		if !utf8.FullRune(data) {
			return 0
		}
		r, n := utf8.DecodeRune(data)
		s.put(r)
		return n
	}
	return 1
}

func (s *Screen) put(r rune) {
	if s.graphics {
		r = lineDrawing(r)
	}
	if s.x >= s.width {
		s.x = 0
		s.lineFeed()
	}
	s.cells[s.y][s.x] = r
	s.x++
}

func lineDrawing(r rune) rune {
	switch r {
	case 'q', 'o', 's':
		return '-'
	case 'x':
		return '|'
	case 'l', 'k', 'm', 'j', 't', 'u', 'v', 'w', 'n':
		return '+'
	}
	return r
}

func (s *Screen) lineFeed() {
	if s.y == s.bottom {
		copy(s.cells[s.top:s.bottom+1], s.cells[s.top+1:s.bottom+1])
		s.cells[s.bottom] = blank(s.width)
		return
	}
	s.y = min(s.height-1, s.y+1)
}

func (s *Screen) escape(data []byte) int {
	if len(data) < 2 {
		return 0
	}
	switch data[1] {
	case '[':
		return s.control(data)
	case ']', 'P', '_', '^': // operating system command and its like, up to BEL or ST
		for i := 2; i < len(data); i++ {
			if data[i] == 7 {
				return i + 1
			}
			if data[i] == 0x1b && i+1 < len(data) {
				return i + 2
			}
		}
		return 0
	case '(', ')', '#', '%':
		if len(data) < 3 {
			return 0
		}
		if data[1] == '(' {
			s.graphics = data[2] == '0'
		}
		return 3
	case '7':
		s.savedX, s.savedY = s.x, s.y
	case '8':
		s.x, s.y = s.savedX, s.savedY
	case 'c':
		*s = *NewScreen(s.width, s.height)
	case 'M':
		s.y = max(0, s.y-1)
	}
	return 2
}

// control reads a control sequence: ESC [ parameters final.
func (s *Screen) control(data []byte) int {
	end := 2
	for end < len(data) && (data[end] < 0x40 || data[end] > 0x7e) {
		end++
	}
	if end == len(data) {
		return 0
	}
	text := string(data[2:end])
	if strings.HasPrefix(text, "?") || strings.HasPrefix(text, ">") {
		return end + 1 // modes: nothing that moves text
	}
	var params []int
	for _, field := range strings.Split(text, ";") {
		n, _ := strconv.Atoi(field) // absent is 0
		params = append(params, min(n, 1<<15))
	}
	s.run(data[end], params)
	return end + 1
}

func (s *Screen) run(final byte, params []int) {
	arg := func(i, absent int) int {
		if i < len(params) && params[i] > 0 {
			return params[i]
		}
		return absent
	}
	switch final {
	case 'A':
		s.y -= arg(0, 1)
	case 'B', 'e':
		s.y += arg(0, 1)
	case 'C', 'a':
		s.x += arg(0, 1)
	case 'D':
		s.x -= arg(0, 1)
	case 'G', '`':
		s.x = arg(0, 1) - 1
	case 'd':
		s.y = arg(0, 1) - 1
	case 'H', 'f':
		s.y, s.x = arg(0, 1)-1, arg(1, 1)-1
	case 'J':
		s.eraseDisplay(params[0])
	case 'K':
		s.eraseLine(params[0])
	case 'X':
		s.fill(s.y, s.x, s.x+arg(0, 1))
	case 'r':
		s.top, s.bottom = min(arg(0, 1), s.height)-1, min(arg(1, s.height), s.height)-1
		if s.top >= s.bottom {
			s.top, s.bottom = 0, s.height-1
		}
		s.x, s.y = 0, 0
	case 'n':
		if params[0] == 6 {
			s.answers = fmt.Appendf(s.answers, "\x1b[%d;%dR", s.y+1, min(s.x, s.width-1)+1)
		}
	case 'c':
		s.answers = append(s.answers, "\x1b[?1;2c"...)
	}
	s.x = min(max(0, s.x), s.width-1)
	s.y = min(max(0, s.y), s.height-1)
}

func (s *Screen) fill(y, from, to int) {
	for x := from; x < min(to, s.width); x++ {
		s.cells[y][x] = ' '
	}
}

func (s *Screen) eraseDisplay(how int) {
	s.eraseLine(how)
	for y := range s.cells {
		if how == 0 && y > s.y || how == 1 && y < s.y || how >= 2 {
			s.fill(y, 0, s.width)
		}
	}
}

func (s *Screen) eraseLine(how int) {
	switch how {
	case 0:
		s.fill(s.y, s.x, s.width)
	case 1:
		s.fill(s.y, 0, s.x+1)
	case 2:
		s.fill(s.y, 0, s.width)
	}
}
