package vm

import (
	"bytes"
	"fmt"
	"image"
	"testing"
)

// Whatever the number of colours, the picture stays the same; with few it gets
// a palette.
func TestFewColours(t *testing.T) {
	for colours, palette := range map[int]bool{1: true, 16: true, 256: true, 257: false} {
		const width, height = 64, 8
		ppm := bytes.NewBufferString(fmt.Sprintf("P6\n%d %d\n255\n", width, height))
		for i := range width * height {
			c := i % colours
			ppm.Write([]byte{byte(c), byte(c >> 8), 7})
		}
		picture, err := decodePPM(ppm)
		if err != nil {
			t.Fatal(err)
		}
		got := fewColours(picture)
		if _, ok := got.(*image.Paletted); ok != palette {
			t.Errorf("%d colours: palette %v", colours, ok)
		}
		for y := range height {
			for x := range width {
				r, g, b, _ := got.At(x, y).RGBA()
				wr, wg, wb, _ := picture.At(x, y).RGBA()
				if r != wr || g != wg || b != wb {
					t.Fatalf("%d colours: pixel %d,%d is another", colours, x, y)
				}
			}
		}
	}
}
