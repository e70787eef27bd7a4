package clonezilla

import (
	"bytes"
	"errors"
	"testing"

	"doppel.live/internal/image"
)

// A frame that does not decode to what was saved ends the save.
func TestMiscodedFrames(t *testing.T) {
	for _, level := range []Level{Fast, Default, Max, Gzip} {
		sound := newCompressor(level)
		unpack, err := newUnpacker(level.packedAs())
		if err != nil {
			t.Fatal(err)
		}
		content := bytes.Repeat([]byte("what was saved "), 9999)
		for what, compress := range map[string]compressor{
			"sound":       sound,
			"other bytes": func(dst, src []byte) ([]byte, error) { return sound(dst, append(src[1:len(src):len(src)], 1)) },
			"fewer bytes": func(dst, src []byte) ([]byte, error) { return sound(dst, src[1:]) },
			"no frame":    func(dst, src []byte) ([]byte, error) { return append(dst, src...), nil },
		} {
			err := checked(compress, unpack)(&job{plainData: bytes.Clone(content)})
			if miscoded := errors.Is(err, image.ErrMiscoded); miscoded != (what != "sound") || !miscoded && err != nil {
				t.Errorf("%s, %s: %v", level, what, err)
			}
		}
	}
}
