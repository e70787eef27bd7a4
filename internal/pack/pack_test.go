package pack

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// inputs are what encoders go wrong with, by name.
func inputs(t testing.TB) map[string][]byte {
	random := make([]byte, 3<<20+1)
	rand.NewChaCha8([32]byte{1}).Read(random)
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	list := map[string][]byte{
		"program":         program[:min(len(program), 5<<20)],
		"random":          random,
		"random repeats":  bytes.Repeat(random[:70_001], 40),
		"far repeats":     bytes.Repeat(random[:1<<windowBits], 3),
		"farther repeats": bytes.Repeat(random[:1<<windowBits+1], 3),
		"one byte":        bytes.Repeat([]byte{7}, 1<<20+4),
	}
	for _, n := range []int{0, 1, 2, 8, 9, 10, 63, 64, 65, 1023, 1024, 16383, 16384, blockMax - 1, blockMax, blockMax + 1, blockMax + 9, 1 << windowBits, 1<<windowBits + 1} {
		list[fmt.Sprint("program ", n)] = program[:n]
		list[fmt.Sprint("random ", n)] = random[:n]
		list[fmt.Sprint("zeros ", n)] = make([]byte, n)
	}
	few := bytes.Clone(random[:1<<20])
	for i := range few {
		few[i] %= 3
	}
	list["three values"] = few
	// Blocks that cannot be packed between such that can, so that what a decoder
	// remembers counts.
	list["mixed"] = bytes.Join([][]byte{program[:blockMax], random[:blockMax], program[blockMax : 2*blockMax], few[:blockMax], random[:blockMax],
		make([]byte, blockMax), program[2*blockMax : 3*blockMax]}, nil)
	// A block with a match of 6 bytes is not worth packing, and so no decoder
	// hears of its distance, which is that of the matches in the next one.
	alike := bytes.Clone(random[:blockMax])
	copy(alike[150:156], alike[50:56])
	list["distance of a raw block"] = append(alike, bytes.Repeat(random[200_000:200_100], 50)...)
	// A match that goes on in the next block.
	list["across blocks"] = bytes.Join([][]byte{make([]byte, blockMax-300), random[:200], random[:200], program[:9999]}, nil)
	// Every length of literals and of matches.
	var lengths []byte
	for n := 1; n < 1500; n++ {
		lengths = append(lengths, random[n*97:n*97+n]...)
		lengths = append(lengths, random[n*13:n*13+n]...)
	}
	list["lengths"] = lengths
	return list
}

func levels() map[string]*Encoder {
	return map[string]*Encoder{"fast": NewEncoder(Fast), "default": NewEncoder(Default), "max": NewEncoder(Max)}
}

func decoder(t testing.TB) *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// Every input comes back, from one encoder for all of them.
func TestFrames(t *testing.T) {
	d := decoder(t)
	for level, e := range levels() {
		for name, src := range inputs(t) {
			packed := e.Append([]byte("before"), src)[len("before"):]
			if most := len(src) + len(src)/blockMax*blockHead + 17; len(packed) > most {
				t.Errorf("%s, %s: %d bytes became %d, more than %d", level, name, len(src), len(packed), most)
			}
			if got, err := d.DecodeAll(packed, nil); err != nil || !bytes.Equal(got, src) {
				t.Errorf("%s, %s: %d bytes came back as %d: %v", level, name, len(src), len(got), err)
			}
		}
	}
}

// zstd gives all inputs back from the frames of all, one behind the other.
func TestFramesWithZstd(t *testing.T) {
	if _, err := exec.LookPath("zstd"); err != nil {
		t.Skip("needs zstd")
	}
	for level, e := range levels() {
		var all, packed []byte
		for _, src := range inputs(t) {
			all, packed = append(all, src...), e.Append(packed, src)
		}
		c := exec.Command("zstd", "-q", "-d", "-c")
		c.Stdin = bytes.NewReader(packed)
		if got, err := c.Output(); err != nil || !bytes.Equal(got, all) {
			t.Errorf("%s: zstd gives %d bytes of %d: %v", level, len(got), len(all), err)
		}
	}
}

// The number of sequences, as RFC 8878, 3.1.1.3.2.1 reads it.
func TestAppendCount(t *testing.T) {
	for _, n := range []int{0, 1, 127, 128, 255, 256, 0x7EFF, 0x7F00, 0x7F01, 1 << 15, 0x7F00 + 0xFFFF} {
		b := append(appendCount(nil, n), 0, 0)
		got := int(b[0])
		switch {
		case b[0] == 255:
			got = int(b[1]) + int(b[2])<<8 + 0x7F00
		case b[0] >= 128:
			got = int(b[0]-128)<<8 + int(b[1])
		}
		if got != n {
			t.Errorf("%d is read as %d", n, got)
		}
	}
}

// A frame depends on nothing that was packed before it.
func TestFramesStandAlone(t *testing.T) {
	src := inputs(t)["mixed"]
	for level, e := range levels() {
		first := e.Append(nil, src)
		e.Append(nil, src[blockMax/2:])
		if again := e.Append(nil, src); !bytes.Equal(again, first) {
			t.Errorf("%s: the same bytes gave another frame", level)
		}
	}
}

// Frames are not larger than those of the library's encoder of the same kind;
// max, which has no other purpose, makes them a twentieth smaller.
func TestFramesAreSmall(t *testing.T) {
	src := inputs(t)["program"]
	for level, e := range levels() {
		peer, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(peers[level]), zstd.WithWindowSize(1<<windowBits))
		if err != nil {
			t.Fatal(err)
		}
		own, theirs := len(e.Append(nil, src)), len(peer.EncodeAll(src, nil))
		if level == "max" {
			theirs -= theirs / 20
		}
		if own > theirs {
			t.Errorf("%s: %d bytes, with the library's no more than %d", level, own, theirs)
		}
	}
}

var peers = map[string]zstd.EncoderLevel{"fast": zstd.SpeedFastest, "default": zstd.SpeedDefault, "max": zstd.SpeedBestCompression}

// FuzzAppend packs what a decoder must give back.
func FuzzAppend(f *testing.F) {
	f.Add([]byte("the same, and the same, and the other"), uint16(300), uint32(1))
	f.Add(bytes.Repeat([]byte{0, 1, 2}, 99), uint16(2000), uint32(7))
	d := decoder(f)
	encoders := levels()
	f.Fuzz(func(t *testing.T, seed []byte, times uint16, change uint32) {
		src := stretch(seed, int(times), change)
		want := bytes.Clone(src)
		for level, e := range encoders {
			packed := e.Append(nil, src)
			if got, err := d.DecodeAll(packed, nil); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%s: %d bytes came back as %d: %v", level, len(want), len(got), err)
			}
		}
	})
}

// stretch makes a long input of a short one: it repeats it, to some blocks at
// most and now and then beyond a window, and changes a byte here and there.
func stretch(seed []byte, times int, change uint32) []byte {
	most := 3 * blockMax
	if change%32 == 31 {
		most = 3 << (windowBits - 1)
	}
	src := bytes.Repeat(seed, min(times, 1+most/max(1, len(seed))))
	for at := int(change % 5000); change > 0 && at < len(src); at += int(change%7919) + at/64 {
		src[at] ^= byte(change>>8) | 1
		change = change*1664525 + 1013904223
	}
	return src
}
