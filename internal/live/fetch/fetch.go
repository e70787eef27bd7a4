// Package fetch reads the small files that the kernel command line or a job
// file names: job files, keys, credentials, archives of the administrator. A
// reference is one of
//
//	/path, ./path                      a file of the running system
//	boot:PATH                          on the medium that was started from, any file system of it
//	LABEL=NAME:PATH, UUID=ID:PATH      on a disk or stick
//	http://…, https://…                from a server; https is verified
//
// each with #sha256=HEX behind it where exactly one content is meant. It
// mounts for reading only, runs nothing, and keeps nothing.
package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// Reference is a reference taken apart.
type Reference struct {
	Place  string // boot, LABEL=…, UUID=…; "" for a file of the running system and for a URL
	Path   string // below the place, or of the running system
	URL    string
	SHA256 string // 64 hexadecimal digits; "" is not pinned
}

// Parse reads a reference.
func Parse(text string) (Reference, error) {
	r := Reference{}
	rest, sum, pinned := strings.Cut(text, "#sha256=")
	if pinned {
		b, err := hex.DecodeString(sum)
		if err != nil || len(b) != sha256.Size {
			return r, errors.New("behind #sha256= there must be 64 hexadecimal digits")
		}
		r.SHA256 = strings.ToLower(sum)
	}
	place, path, ok := strings.Cut(rest, ":")
	switch {
	case strings.HasPrefix(rest, "http://"), strings.HasPrefix(rest, "https://"):
		r.URL = rest
	case ok && (place == "boot" || tagged(place)):
		r.Place, r.Path = place, path
	case tagged(place):
		return r, fmt.Errorf("%s: the file is missing: write %s:/PATH", place, place)
	case ok && !strings.HasPrefix(rest, "/") && !strings.HasPrefix(rest, "."):
		return r, fmt.Errorf("%s: is no way to name a file: /path, boot:PATH, LABEL=NAME:PATH, UUID=ID:PATH, http://… or https://…", place)
	default:
		r.Path = rest
	}
	if r.URL == "" && strings.Trim(r.Path, "/") == "" {
		return r, errors.New("no file is named")
	}
	return r, nil
}

// tagged tells whether place is LABEL= or UUID= with a value.
func tagged(place string) bool {
	key, value, ok := strings.Cut(place, "=")
	return ok && value != "" && (key == "LABEL" || key == "UUID")
}

// NeedsNetwork tells whether the reference leads to a server.
func (r Reference) NeedsNetwork() bool { return r.URL != "" }

// Open tells whether what is fetched could be changed on its way: by http, and
// not pinned.
func (r Reference) Open() bool { return strings.HasPrefix(r.URL, "http://") && r.SHA256 == "" }

// Name is the last part of the file's name.
func (r Reference) Name() string {
	if r.URL != "" {
		p, _, _ := strings.Cut(r.URL, "?")
		_, p, _ = strings.Cut(p, "://")
		_, p, _ = strings.Cut(p, "/")
		return path.Base("/" + p)
	}
	return filepath.Base(r.Path)
}

// System is where references lead.
type System struct {
	// Files reads a file that is named as boot:PATH, LABEL=NAME:PATH or
	// UUID=ID:PATH; nil where there are no such places.
	Files  func(ctx context.Context, name string, limit int64) ([]byte, error)
	Client *http.Client // nil: one that keeps to https once it began with it
	// Patience is how long a server is asked again that does not answer or is
	// busy: at night many machines start at once. 0 is not at all.
	Patience time.Duration
}

// Read gives the content of a file of at most limit bytes.
func (s System) Read(ctx context.Context, r Reference, limit int64) ([]byte, error) {
	data, err := s.read(ctx, r, limit)
	if err != nil || r.SHA256 == "" {
		return data, err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != r.SHA256 {
		return nil, fmt.Errorf("%s: its sha256 is %x and not the one that was asked for", r.Name(), sum)
	}
	return data, nil
}

func (s System) read(ctx context.Context, r Reference, limit int64) ([]byte, error) {
	switch {
	case r.URL != "":
		return s.patiently(ctx, r.URL, limit)
	case r.Place == "":
		f, err := os.Open(r.Path)
		if err != nil {
			return nil, err
		}
		return readFile(f, limit)
	case s.Files == nil:
		return nil, fmt.Errorf("%s: only the live system knows this place", r.Place)
	}
	return s.Files(ctx, r.Place+":"+strings.TrimLeft(r.Path, "/"), limit)
}

// readFile reads f to its end and closes it.
func readFile(f *os.File, limit int64) ([]byte, error) {
	defer f.Close()
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no file", info.Name())
	}
	if err != nil {
		return nil, err
	}
	return readAll(info.Name(), f, limit)
}

func readAll(name string, from io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(from, limit+1))
	if err == nil && int64(len(data)) > limit {
		return nil, fmt.Errorf("%s: more than %d bytes", name, limit)
	}
	return data, err
}

// pause is how long a server is left alone before it is asked again.
const pause = 2 * time.Second

// patiently gets a file, from a server that may be on its way.
func (s System) patiently(ctx context.Context, url string, limit int64) ([]byte, error) {
	for began := time.Now(); ; {
		data, err := s.download(ctx, url, limit)
		if err == nil || !passing(err) || time.Since(began)+pause > s.Patience {
			return data, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(pause):
		}
	}
}

// passing tells whether an error may go away by itself: no way to the server
// yet, nobody there, an answer that was cut or that says "later".
func passing(err error) bool {
	var op *net.OpError
	var name *net.DNSError
	var status *statusError
	switch {
	case errors.As(err, &status):
		return status.code >= 500 || status.code == http.StatusTooManyRequests
	case errors.As(err, &op) && op.Op == "remote error": // of TLS
		return false
	}
	return errors.As(err, &op) || errors.As(err, &name) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}

// statusError is an answer that is no file.
type statusError struct {
	url, status string
	code        int
}

func (e *statusError) Error() string { return fmt.Sprintf("%s: the server says %s", e.url, e.status) }

// download gets a file.
func (s System) download(ctx context.Context, url string, limit int64) ([]byte, error) {
	client := s.Client
	if client == nil {
		client = &http.Client{CheckRedirect: keepTLS, Timeout: 10 * time.Minute}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, errors.New("this is no URL")
	}
	answer, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, &statusError{request.URL.Redacted(), answer.Status, answer.StatusCode}
	}
	return readAll(path.Base(request.URL.Path), answer.Body, limit)
}

// keepTLS refuses a way from https to http.
func keepTLS(next *http.Request, via []*http.Request) error {
	if len(via) >= 5 {
		return errors.New("too many redirections")
	}
	if via[0].URL.Scheme == "https" && next.URL.Scheme != "https" {
		return errors.New("the server leads from https to http, which is not verified")
	}
	return nil
}
