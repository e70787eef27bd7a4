// Package unpack unpacks streams by whatever program packed them: what
// Clonezilla and its users have given partclone's output to. The formats of lzip
// and lzop are read here, lrzip is left to the program of that name, the others
// to libraries. It packs nothing, and no stream makes it take more memory than a
// limit.
package unpack

import (
	"bufio"
	"compress/bzip2"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"strings"
	"syscall"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"
	"github.com/ulikunitz/xz/lzma"

	"doppel.live/internal/image"
	"doppel.live/internal/store"
)

// ErrNotYet says that a stream may be whole, and cannot be unpacked here.
var ErrNotYet = errors.New("not supported yet")

// maxWindow is the most memory in bytes that a stream may want for unpacking.
const maxWindow = 128 << 20

// New unpacks in, which is packed as the suffix of its file says: gz, zst,
// uncomp, …; "" stands for files whose names say nothing. What is closed does
// not close what in reads.
func New(in *bufio.Reader, suffix string) (io.ReadCloser, error) {
	r, err := open(in, suffix)
	if err == io.EOF { // a stream of no bytes is none
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, Damaged(err)
	}
	return r, nil
}

func open(in *bufio.Reader, suffix string) (io.ReadCloser, error) {
	if suffix == "" {
		suffix = sniff(in)
	}
	switch suffix {
	case "zst":
		decoder, err := zstd.NewReader(in, zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		return decoder.IOReadCloser(), nil
	case "gz":
		return plain(gzip.NewReader(in))
	case "bz2":
		return io.NopCloser(bzip2.NewReader(in)), nil
	case "xz":
		return plain(xz.ReaderConfig{DictCap: maxWindow}.NewReader(in))
	case "lzma":
		return plain(lzma.ReaderConfig{DictCap: maxWindow}.NewReader(in))
	case "lz4":
		return io.NopCloser(lz4.NewReader(in)), nil
	case "lzip":
		return io.NopCloser(&lzipReader{in: in}), nil
	case "lzo":
		return plain(newLzopReader(in))
	case "lrz":
		return program(in, "lrzip", "lrzip", "-d", "-q", "-o", "-")
	case "uncomp":
		return io.NopCloser(in), nil
	}
	return nil, fmt.Errorf("%w: a stream compressed as %q", ErrNotYet, suffix)
}

// plain is a reader with nothing to close.
func plain[R io.Reader](r R, err error) (io.ReadCloser, error) { return io.NopCloser(r), err }

// sniff tells by its first bytes how a stream is compressed.
func sniff(in *bufio.Reader) string {
	head, _ := in.Peek(8)
	for _, k := range []struct{ magic, suffix string }{
		{"\x1f\x8b", "gz"}, {"BZh", "bz2"}, {"\xfd7zXZ\x00", "xz"}, {"\x28\xb5\x2f\xfd", "zst"},
		{"\x04\x22\x4d\x18", "lz4"}, {"LZIP", "lzip"}, {"\x89LZO", "lzo"}, {"LRZI", "lrz"}, {"\x5d\x00\x00", "lzma"},
	} {
		if strings.HasPrefix(string(head), k.magic) {
			return k.suffix
		}
	}
	return "uncomp"
}

// program unpacks in by another program, where there is no library for it. The
// program gets the stream and nothing else of the image.
func program(in io.Reader, packet, name string, args ...string) (io.ReadCloser, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return nil, fmt.Errorf("%w: this stream is unpacked by the program %s, which is not here: install the package %s", ErrNotYet, name, packet)
	}
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Stdin, cmd.Env = "/", in, []string{"LC_ALL=C"}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &programReader{out: out, cmd: cmd, name: name}, nil
}

// programReader reads what a program gives; its end counts only together with
// its exit status.
type programReader struct {
	out   io.Reader
	cmd   *exec.Cmd
	name  string
	ended bool
	err   error // of the last read
}

func (p *programReader) Read(b []byte) (n int, err error) {
	if p.err != nil {
		return 0, p.err
	}
	n, p.err = p.out.Read(b)
	if p.err == io.EOF && !p.ended {
		p.ended = true
		if failed := p.cmd.Wait(); failed != nil {
			p.err = fmt.Errorf("%w: %s: %w", image.ErrDamaged, p.name, failed)
		}
	}
	return n, p.err
}

func (p *programReader) Close() error {
	if !p.ended {
		p.ended = true
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait() // it was killed
	}
	return nil
}

// Damaged marks the errors of reading an unpacked stream with image.ErrDamaged:
// all that do not come from reading the files, or from what is not supported.
func Damaged(err error) error {
	var path *fs.PathError
	var number syscall.Errno
	switch {
	case err == nil, err == io.EOF, errors.Is(err, image.ErrDamaged), errors.Is(err, ErrNotYet), errors.As(err, &path), errors.As(err, &number),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, store.ErrNotFile), errors.Is(err, store.ErrShort):
		return err
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return fmt.Errorf("%w: unpacking it takes more than %d MiB of memory: %w", ErrNotYet, maxWindow>>20, err)
	}
	return fmt.Errorf("%w: %w", image.ErrDamaged, err)
}
