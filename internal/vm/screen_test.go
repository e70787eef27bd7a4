package vm

import (
	"strings"
	"testing"
)

func TestScreen(t *testing.T) {
	for _, test := range []struct{ name, in, want string }{
		{"text wraps", "abcdefgh", "abcde\nfgh\n\n"},
		{"scrolls", "1\r\n2\r\n3\r\n4", "2\n3\n4\n"},
		{"cursor and erase", "hello\x1b[2;3Hx\x1b[1;2H\x1b[K", "h\n  x\n\n"},
		{"clear keeps place", "ab\x1b[2Jc", "  c\n\n\n"},
		{"titles and modes are no text", "\x1b]0;title\x07\x1b[?25l\x1b[1;31ma", "a\n\n\n"},
		{"title ended by ST", "\x1b]0;t\x1b\\a", "a\n\n\n"},
		{"line drawing", "\x1b(0lqk\x1b(Bq", "+-+q\n\n\n"},
		{"hostile numbers", "\x1b[99999;99999Hx\x1b[0;0Hy", "y\n\n    x\n"},
		{"utf-8 in pieces", "\xc3|\xa9", "é\n\n\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := NewScreen(5, 3)
			for _, piece := range strings.Split(test.in, "|") {
				s.Write([]byte(piece))
			}
			if got := s.String(); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestScreenAnswers(t *testing.T) {
	s := NewScreen(80, 25)
	s.Write([]byte("\x1b[3;7H\x1b[6n"))
	if got := string(s.Answers()); got != "\x1b[3;7R" {
		t.Errorf("cursor said to be at %q", got)
	}
	if got := s.Answers(); got != nil {
		t.Errorf("answered twice: %q", got)
	}
}

func FuzzScreen(f *testing.F) {
	f.Add([]byte("a\x1b[5;9Hb\x1b[2J\x1b[r\x1b(0q\n\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := NewScreen(7, 3)
		s.Write(data)
		if n := strings.Count(s.String(), "\n"); n != 3 {
			t.Errorf("%d rows", n)
		}
	})
}
