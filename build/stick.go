package main

import (
	"bytes"
	"fmt"
	"os"

	"doppel.live/internal/stick"
)

// stickImage makes the image for sticks out of that of the disc: the same with
// the marker in its system area, which lets the live system give the stick a
// partition for images. See internal/stick/FORMAT.md.
func stickImage(to, disc string) error {
	data, err := os.ReadFile(disc)
	if err != nil {
		return err
	}
	marker := stick.Marker()
	place := data[stick.MarkerOffset:][:len(marker)]
	if !bytes.Equal(place, make([]byte, len(marker))) {
		return fmt.Errorf("%s: something lies where the marker of a stick belongs", disc)
	}
	copy(place, marker)
	return os.WriteFile(to, data, 0o644)
}
