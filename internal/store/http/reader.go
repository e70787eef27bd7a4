package http

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"doppel.live/internal/store"
	"doppel.live/internal/store/ahead"
	"doppel.live/internal/store/remote"
)

// ErrChanged is an object that was replaced while it was read.
var ErrChanged = errors.New("it was changed while it was being read")

// ErrNoRanges is a server that can be read forwards only.
var ErrNoRanges = errors.New("the server can send no parts of a file (it ignores Range), so the image can be read from its start to its end only; nginx, Apache or lighttpd can do more")

const (
	piece   = 1 << 20 // bytes
	skip    = 4 << 20 // bytes that are read and thrown away rather than asking anew
	skipAll = 1 << 30 // the same of a server that knows no ranges
)

// about is what the server says of an object.
type about struct {
	size     int64
	modified time.Time
	tag      string // what tells this object from another of its name; "" is nothing
}

// patiently runs op again while the server is away or busy.
func (s *Store) patiently(ctx context.Context, op func() error) error {
	began, pause := time.Now(), 200*time.Millisecond
	for told := false; ; told = true {
		err := op()
		if err == nil || !passing(err) || ctx.Err() != nil {
			return err
		}
		if time.Since(began)+pause > s.opts.Away {
			return err
		}
		if !told && s.opts.Tell != nil {
			s.opts.Tell(fmt.Sprintf("%s gives no answer: trying again for %.0f s", s.opts.Location.Host, s.opts.Away.Seconds()))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
			pause = min(2*pause, 5*time.Second)
		}
	}
}

// passing tells whether an error may go away by itself.
func passing(err error) bool {
	var status *statusError
	var known *remote.Error
	switch {
	case errors.As(err, &status):
		return status.status >= 500 && status.status != http.StatusNotImplemented || status.status == http.StatusTooManyRequests || status.status == http.StatusRequestTimeout
	case errors.As(err, &known), errors.Is(err, ErrChanged), errors.Is(err, ErrNoRanges), errors.Is(err, errRedirect),
		errors.Is(err, store.ErrNotFile), errors.Is(err, fs.ErrNotExist), isCertificate(err):
		return false
	}
	return true
}

func isStatus(err error, list ...int) bool {
	var status *statusError
	return errors.As(err, &status) && slices.Contains(list, status.status)
}

// stat asks about an object.
func (s *Store) stat(ctx context.Context, name string) (a about, err error) {
	err = s.patiently(ctx, func() error {
		answer, err := s.request(ctx, http.MethodHead, name, nil)
		if err == nil && answer.ContentLength < 0 || isStatus(err, http.StatusMethodNotAllowed, http.StatusNotImplemented) {
			// Apache leaves the length of nothing out of an answer without a body.
			answer, err = s.request(ctx, http.MethodGet, name, nil)
		}
		if err != nil {
			return err
		}
		answer.Body.Close()
		if strings.HasSuffix(answer.Request.URL.Path, "/") { // sent on to a folder
			return fmt.Errorf("%s: %w", name, store.ErrNotFile)
		}
		a = aboutOf(answer.Header)
		if a.size = answer.ContentLength; a.size < 0 {
			return &remote.Error{Reason: remote.Broken, What: name + ": the server does not say how long it is", Next: "Serve plain files, without compression on the way."}
		}
		return nil
	})
	return a, err
}

func aboutOf(h http.Header) about {
	a := about{tag: h.Get("Etag")}
	a.modified, _ = http.ParseTime(h.Get("Last-Modified"))
	if a.tag == "" || strings.HasPrefix(a.tag, "W/") { // weak: bytes may differ
		a.tag = h.Get("Last-Modified")
	}
	return a
}

// stream is the body of an answer that is read forwards.
type stream struct {
	body io.ReadCloser
	stop context.CancelFunc
	pos  int64 // of the next byte
	end  int64 // where it ends
}

func (st *stream) close() {
	st.stop()
	st.body.Close()
}

// reader reads an object by as few requests as its readers' order allows.
type reader struct {
	*ahead.Reader
	store *Store
	name  string
	about about

	mu      sync.Mutex // the fetches come one after the other; Close may come at any time
	streams []*stream  // of the last two places that were read
	next    int64      // behind the last fetch
	noRange bool       // the server ignores ranges
}

// Open implements store.Store.
func (s *Store) Open(name string) (store.Reader, error) {
	if err := store.CheckName(name); err != nil {
		return nil, err
	}
	a, err := s.stat(s.ctx, name)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, store.ErrNotFile):
		return nil, err
	case err != nil:
		return nil, s.explain(err)
	}
	r := &reader{store: s, name: name, about: a}
	r.Reader = ahead.New(s.ctx, a.size, ahead.Options{Piece: piece, Ahead: 8, Parallel: 1}, r.fetch)
	return r, nil
}

// Close implements store.Reader.
func (r *reader) Close() error {
	err := r.Reader.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, st := range r.streams {
		st.close()
	}
	r.streams = nil
	return err
}

// fetch reads a whole piece, and goes on behind what it has when the
// connection is lost.
func (r *reader) fetch(ctx context.Context, p []byte, off int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	done := 0
	for done < len(p) {
		before := done
		err := r.store.patiently(ctx, func() error {
			n, err := r.read(ctx, p[done:], off+int64(done))
			if done += n; n > 0 {
				return nil // the server is there: what comes next has all its time again
			}
			return err
		})
		if err != nil && done == before {
			if passing(err) {
				err = r.store.explain(err)
			}
			return fmt.Errorf("%s: %w", r.name, err)
		}
	}
	r.next = off + int64(len(p))
	return nil
}

// read reads what one stream gives.
func (r *reader) read(ctx context.Context, p []byte, off int64) (int, error) {
	st, err := r.stream(ctx, off, len(p))
	if err != nil {
		return 0, err
	}
	silence := time.AfterFunc(r.store.opts.Silence, st.stop)
	defer silence.Stop()
	n, err := 0, error(nil)
	for n < len(p) && err == nil {
		var k int
		k, err = st.body.Read(p[n:])
		n += k
		st.pos += int64(k)
		silence.Reset(r.store.opts.Silence)
	}
	if st.pos >= st.end {
		err = nil
	}
	if err != nil || st.pos >= st.end {
		r.drop(st)
	}
	if n == 0 && err == nil {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// drop forgets a stream.
func (r *reader) drop(st *stream) {
	st.close()
	for i, other := range r.streams {
		if other == st {
			r.streams = append(r.streams[:i], r.streams[i+1:]...)
			return
		}
	}
}

// stream gives one that stands at off.
func (r *reader) stream(ctx context.Context, off int64, want int) (*stream, error) {
	far := int64(skip)
	if r.noRange {
		far = skipAll
	}
	for _, st := range r.streams {
		if off >= st.pos && off-st.pos <= far && st.end > off {
			return st, r.forward(ctx, st, off)
		}
	}
	st, err := r.ask(ctx, off, want)
	if err != nil {
		return nil, err
	}
	if r.streams = append(r.streams, st); len(r.streams) > 2 {
		r.drop(r.streams[0])
	}
	return st, r.forward(ctx, st, off)
}

// forward reads on to off.
func (r *reader) forward(ctx context.Context, st *stream, off int64) error {
	buf := make([]byte, min(off-st.pos, 256<<10))
	silence := time.AfterFunc(r.store.opts.Silence, st.stop)
	defer silence.Stop()
	for st.pos < off {
		n, err := st.body.Read(buf[:min(off-st.pos, int64(len(buf)))])
		st.pos += int64(n)
		silence.Reset(r.store.opts.Silence)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil && st.pos < off {
			r.drop(st)
			return err
		}
	}
	return nil
}

// ask requests the object from off on: all of the rest if it is read in order,
// else as much as is wanted.
func (r *reader) ask(ctx context.Context, off int64, want int) (*stream, error) {
	end := r.about.size
	header := http.Header{}
	if off != r.next {
		end = off + int64(want)
	}
	if off > 0 || end < r.about.size {
		header.Set("Range", fmt.Sprintf("bytes=%d-%d", off, end-1))
		if r.about.tag != "" {
			header.Set("If-Range", r.about.tag)
		}
	}
	// The stream outlives the fetch that begins it.
	streamCtx, stop := context.WithCancel(r.store.ctx)
	give := context.AfterFunc(ctx, stop)
	answer, err := r.store.request(streamCtx, http.MethodGet, r.name, header)
	if !give() && err == nil {
		answer.Body.Close()
		err = ctx.Err()
	}
	if err != nil {
		stop()
		return nil, r.changed(err)
	}
	st := &stream{body: answer.Body, stop: stop, pos: off, end: end}
	if err := r.check(answer, st); err != nil {
		st.close()
		return nil, err
	}
	return st, nil
}

// changed is err, or that the object is not what it was.
func (r *reader) changed(err error) error {
	if isStatus(err, http.StatusNotFound, http.StatusGone, http.StatusRequestedRangeNotSatisfiable) {
		return fmt.Errorf("%w: %w", ErrChanged, err)
	}
	return err
}

// check holds an answer against what was asked for.
func (r *reader) check(answer *http.Response, st *stream) error {
	now := aboutOf(answer.Header)
	if now.tag != "" && now.tag != r.about.tag {
		return ErrChanged
	}
	if answer.StatusCode == http.StatusPartialContent {
		return checkRange(answer.Header.Get("Content-Range"), st.pos, r.about.size)
	}
	if answer.ContentLength >= 0 && answer.ContentLength != r.about.size {
		return ErrChanged
	}
	want := st.pos
	if st.pos, st.end = 0, r.about.size; want == 0 {
		return nil
	}
	if r.noRange = true; want > skipAll {
		return ErrNoRanges
	}
	return nil
}

// checkRange wants "bytes OFF-LAST/SIZE".
func checkRange(text string, off, size int64) error {
	span, total, ok := strings.Cut(strings.TrimPrefix(text, "bytes "), "/")
	first, _, dash := strings.Cut(span, "-")
	start, err := strconv.ParseInt(first, 10, 64)
	if !ok || !dash || err != nil || start != off {
		return &remote.Error{Reason: remote.Broken, What: fmt.Sprintf("the server sends another part than the one asked for (%q)", text), Next: "Take another server."}
	}
	if n, err := strconv.ParseInt(total, 10, 64); total != "*" && (err != nil || n != size) {
		return ErrChanged
	}
	return nil
}
