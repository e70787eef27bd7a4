package vm

import (
	"bufio"
	"fmt"
	"image"
	"image/color"
	"io"
)

// fewColours gives the same picture with a palette, which makes its file small,
// where 256 colours are enough: consoles have 16.
func fewColours(picture image.Image) image.Image {
	bounds := picture.Bounds()
	index := map[color.Color]uint8{}
	out := image.NewPaletted(bounds, nil)
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			c := picture.At(x, y)
			i, known := index[c]
			if !known {
				if len(out.Palette) == 256 {
					return picture
				}
				i = uint8(len(out.Palette))
				index[c], out.Palette = i, append(out.Palette, c)
			}
			out.SetColorIndex(x, y, i)
		}
	}
	return out
}

// decodePPM reads the binary form of a portable pixmap (P6, 8 bits), which is
// what QEMU's screendump writes.
func decodePPM(r io.Reader) (image.Image, error) {
	in := bufio.NewReader(r)
	var width, height, depth int
	if _, err := fmt.Fscanf(in, "P6\n%d %d\n%d\n", &width, &height, &depth); err != nil {
		return nil, fmt.Errorf("ppm: %w", err)
	}
	if depth != 255 || width <= 0 || height <= 0 || width > 1<<14 || height > 1<<14 {
		return nil, fmt.Errorf("ppm: %dx%d with %d levels", width, height, depth)
	}
	picture := image.NewRGBA(image.Rect(0, 0, width, height))
	row := make([]byte, 3*width)
	for y := range height {
		if _, err := io.ReadFull(in, row); err != nil {
			return nil, fmt.Errorf("ppm: %w", err)
		}
		for x := range width {
			picture.SetRGBA(x, y, color.RGBA{row[3*x], row[3*x+1], row[3*x+2], 255})
		}
	}
	return picture, nil
}
