package filesystem

import (
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// ended gives an error with what it reads, or n bytes less.
type ended struct {
	less int
	err  error
}

func (e ended) ReadAt(p []byte, _ int64) (int, error) { return len(p) - e.less, e.err }

func TestReadFull(t *testing.T) {
	for name, tt := range map[string]struct {
		r    io.ReaderAt
		want error
	}{
		"all":                      {ended{0, nil}, nil},
		"all, and the end":         {ended{0, io.EOF}, nil},
		"the end within it":        {ended{1, io.EOF}, io.ErrUnexpectedEOF},
		"less, without a reason":   {ended{1, nil}, io.ErrUnexpectedEOF},
		"less, for a reason":       {ended{8, iotest.ErrTimeout}, iotest.ErrTimeout},
		"behind the end of a file": {strings.NewReader("1234567"), io.ErrUnexpectedEOF},
		"up to the end of a file":  {strings.NewReader("123456789"), nil},
		"one byte too few":         {strings.NewReader("12345678"), io.ErrUnexpectedEOF},
	} {
		if err := ReadFull(tt.r, make([]byte, 8), 1); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

func TestUUID(t *testing.T) {
	for name, tt := range map[string]struct {
		p    []byte
		want string
	}{
		"one":       {[]byte("\x01\x23\x45\x67\x89\xAB\xCD\xEF\xFE\xDC\xBA\x98\x76\x54\x32\x10"), "01234567-89ab-cdef-fedc-ba9876543210"},
		"zeros":     {make([]byte, 16), ""},
		"too short": {make([]byte, 15), ""},
	} {
		if got := UUID(tt.p); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func TestUTF16(t *testing.T) {
	for name, tt := range map[string]struct {
		p     string
		order binary.ByteOrder
		want  string
	}{
		"to the end":         {"a\x00\xE4\x00", binary.LittleEndian, "aä"},
		"to the first 0":     {"a\x00\x00\x00b\x00", binary.LittleEndian, "a"},
		"half a unit":        {"a\x00b", binary.LittleEndian, "a"},
		"highest byte first": {"\x00a\x00b\x00\x00", binary.BigEndian, "ab"},
		"a pair":             {"\x3D\xD8\x00\xDE", binary.LittleEndian, "😀"},
		"one half of a pair": {"\x3D\xD8", binary.LittleEndian, "\uFFFD"},
		"nothing":            {"", binary.LittleEndian, ""},
	} {
		if got := UTF16([]byte(tt.p), tt.order); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}
