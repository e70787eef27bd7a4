package clonezilla

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

// maxWindow is the most memory in bytes that a foreign stream may want for unpacking.
const maxWindow = 128 << 20

// stream is an unpacked stream with all that must be closed behind it.
type stream struct {
	io.Reader
	closers []func()
}

func (s *stream) Close() error {
	for _, f := range s.closers {
		f()
	}
	return nil
}

// decompress unpacks in, which is compressed as the suffix of its file says;
// "" stands for the names of old images, which say nothing.
func (s *stream) decompress(in *bufio.Reader, suffix string) (err error) {
	if suffix == "" {
		suffix = sniff(in)
	}
	switch suffix {
	case "zst":
		decoder, err := zstd.NewReader(in, zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return err
		}
		s.closers = append(s.closers, decoder.Close)
		s.Reader = decoder
	case "gz":
		s.Reader, err = gzip.NewReader(in)
	case "bz2":
		s.Reader = bzip2.NewReader(in)
	case "xz":
		s.Reader, err = xz.ReaderConfig{DictCap: maxWindow}.NewReader(in)
	case "lzma":
		s.Reader, err = lzma.ReaderConfig{DictCap: maxWindow}.NewReader(in)
	case "lz4":
		s.Reader = lz4.NewReader(in)
	case "lzip":
		s.Reader = &lzipReader{in: in}
	case "lzo":
		s.Reader, err = newLzopReader(in)
	case "lrz":
		err = s.program(in, "lrzip", "lrzip", "-d", "-q", "-o", "-")
	case "uncomp":
		s.Reader = in
	default:
		return fmt.Errorf("%w: a stream compressed as %q", ErrNotYet, clean(suffix))
	}
	return damaged(err)
}

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
func (s *stream) program(in io.Reader, packet, name string, args ...string) error {
	path, err := exec.LookPath(name)
	if err != nil {
		return fmt.Errorf("%w: this stream is unpacked by the program %s, which is not here: install the package %s", ErrNotYet, name, packet)
	}
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Stdin, cmd.Env = "/", in, []string{"LC_ALL=C"}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	p := &programReader{out: out, cmd: cmd, name: name}
	s.Reader = p
	s.closers = append([]func(){p.stop}, s.closers...) // it ends before its input is closed
	return nil
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

func (p *programReader) stop() {
	if !p.ended {
		p.ended = true
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait() // it was killed
	}
}

// damaged marks the errors of decompressors: all that do not come from reading
// the files, or from what is not supported.
func damaged(err error) error {
	var path *fs.PathError
	var number syscall.Errno
	switch {
	case err == nil, err == io.EOF, errors.Is(err, image.ErrDamaged), errors.Is(err, ErrNotYet), errors.As(err, &path), errors.As(err, &number),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, store.ErrNotFile):
		return err
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return fmt.Errorf("%w: unpacking it takes more than %d MiB of memory: %w", ErrNotYet, maxWindow>>20, err)
	}
	return fmt.Errorf("%w: %w", image.ErrDamaged, err)
}
