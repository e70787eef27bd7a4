package clonezilla

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"regexp"

	"github.com/zeebo/blake3"
	"golang.org/x/crypto/blake2b"

	"doppel.live/internal/image"
)

// sumList is a list of sums, ours or one that Clonezilla can make.
type sumList struct {
	file string
	size int // bytes of a sum
	hash func() hash.Hash
	sums map[string][]byte // by file
}

var sumLine = regexp.MustCompile(`^([0-9a-f]+)  ([^/\x00-\x1f]+)$`)

// newBLAKE2b is the sum of b2sum.
func newBLAKE2b() hash.Hash {
	h, _ := blake2b.New512(nil) // fails for a wrong key only
	return h
}

// readSums reads the lists of sums that are there.
func (v *verifier) readSums() {
	for _, l := range []sumList{
		{file: fileSums, size: 32, hash: func() hash.Hash { return blake3.New() }},
		{file: "B2SUMS", size: blake2b.Size, hash: newBLAKE2b},
		{file: "SHA1SUMS", size: sha1.Size, hash: sha1.New},
		{file: "MD5SUMS", size: md5.Size, hash: md5.New},
	} {
		if !v.has(l.file) {
			continue
		}
		data, err := v.readFile(l.file)
		if err != nil {
			v.problem(err)
			continue
		}
		if l.sums, err = parseSums(data, l.size); err != nil {
			v.problem(fmt.Errorf("%w: %s: %w", image.ErrDamaged, l.file, err))
		}
		if v.lists = append(v.lists, l); !v.foreign {
			return // there is one list in an image of ours
		}
	}
	switch {
	case len(v.lists) > 0:
	case !v.foreign:
		v.problem(fmt.Errorf("%w: %s is missing", image.ErrDamaged, fileSums))
	default:
		v.warn("the image has no sums of its files; only what lies in its volumes was checked")
	}
}

// parseSums decodes lines of a sum in hexadecimal, two spaces and a name,
// ascending by name as far as we write them.
func parseSums(data []byte, size int) (map[string][]byte, error) {
	sums := make(map[string][]byte)
	if len(data) > 0 && data[len(data)-1] != '\n' {
		return sums, errors.New("its last line is cut")
	}
	for line := range bytes.Lines(data) {
		f := sumLine.FindSubmatch(bytes.TrimSuffix(line, []byte("\n")))
		if f == nil || len(f[1]) != 2*size {
			return sums, fmt.Errorf("line %q", line)
		}
		sum, err := hex.DecodeString(string(f[1]))
		if err != nil {
			return sums, err
		}
		if sums[string(f[2])] != nil {
			return sums, fmt.Errorf("%q is listed twice", f[2])
		}
		sums[string(f[2])] = sum
	}
	return sums, nil
}

// compare holds the sum of a file against a list.
func (v *verifier) compare(l sumList, file string, sum []byte) error {
	want, ok := l.sums[file]
	switch {
	case !ok && v.foreign:
		return nil
	case !ok:
		return fmt.Errorf("%w: %s is not in %s", image.ErrDamaged, file, l.file)
	case !bytes.Equal(want, sum):
		return fmt.Errorf("%w: %s has another sum than when it was saved", image.ErrDamaged, file)
	}
	return nil
}

// sumFile reads a file and holds it against all lists that name it.
func (v *verifier) sumFile(file string) error {
	var named []sumList
	var sums []hash.Hash
	var writers []io.Writer
	for _, l := range v.lists {
		if l.sums[file] != nil {
			sum := l.hash()
			named, sums, writers = append(named, l), append(sums, sum), append(writers, sum)
		}
	}
	if len(named) == 0 {
		if !v.foreign {
			v.warn(clean(file) + " is not of the image and was not checked")
		}
		return nil
	}
	r, err := v.store.Open(v.path(file))
	if err != nil {
		return err
	}
	defer r.Close()
	in := contextReader{v.ctx, io.NewSectionReader(r, 0, r.Size())}
	if _, err := io.Copy(io.MultiWriter(writers...), in); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	for i, l := range named {
		if err := v.compare(l, file, sums[i].Sum(nil)); err != nil {
			return err
		}
	}
	return nil
}
