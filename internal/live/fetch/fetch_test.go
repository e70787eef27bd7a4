package fetch

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

func TestParse(t *testing.T) {
	sum := strings.Repeat("aB", 32)
	for text, want := range map[string]Reference{
		"/images/jobs/a.json":                  {Path: "/images/jobs/a.json"},
		"jobs/a.json":                          {Path: "jobs/a.json"},
		"./a:b":                                {Path: "./a:b"},
		"boot:jobs/lab.json":                   {Place: "boot", Path: "jobs/lab.json"},
		"LABEL=x:/path#sha256=" + sum:          {Place: "LABEL=x", Path: "/path", SHA256: strings.ToLower(sum)},
		"UUID=12-34:a":                         {Place: "UUID=12-34", Path: "a"},
		"https://srv:8443/a?b=c#sha256=" + sum: {URL: "https://srv:8443/a?b=c", SHA256: strings.ToLower(sum)},
		"http://srv/a":                         {URL: "http://srv/a"},
	} {
		if got, err := Parse(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "boot:", "boot:/", "LABEL=x", "LABEL=:a", "ftp://a/b", "a#sha256=12", "a#sha256=" + sum + "00", "/"} {
		if got, err := Parse(text); err == nil {
			t.Errorf("%q: taken as %+v", text, got)
		}
	}
}

// place is a System with a place boot.
func place(t *testing.T) System {
	dir := t.TempDir()
	for name, text := range map[string]string{"jobs/lab.json": "{}", "big": strings.Repeat("x", 100)} {
		os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return System{Files: func(_ context.Context, name string, limit int64) ([]byte, error) {
		file, ok := strings.CutPrefix(name, "boot:")
		if !ok {
			return nil, errors.New("there is no " + name)
		}
		r, err := Parse(filepath.Join(dir, file))
		if err != nil {
			return nil, err
		}
		return System{}.Read(t.Context(), r, limit)
	}}
}

func TestRead(t *testing.T) {
	s := place(t)
	read := func(text string) (string, error) {
		r, err := Parse(text)
		if err != nil {
			return "", err
		}
		data, err := s.Read(t.Context(), r, 99)
		return string(data), err
	}
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte("{}")))
	for _, good := range []string{"boot:jobs/lab.json", "boot:/jobs/lab.json", "boot:jobs/lab.json#sha256=" + sum} {
		if got, err := read(good); got != "{}" || err != nil {
			t.Errorf("%s: %q, %v", good, got, err)
		}
	}
	for text, says := range map[string]string{
		"boot:none":     "no such file",
		"boot:jobs":     "is no file",
		"boot:big":      "more than 99 bytes",
		"LABEL=x:a":     "no LABEL=x:a",
		"/no/such/file": "no such file",
		"boot:jobs/lab.json#sha256=" + strings.Repeat("00", 32): "not the one that was asked for",
	} {
		if got, err := read(text); err == nil || got != "" || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %q, %v, want %q", text, got, err, says)
		}
	}
	s.Files = nil
	if _, err := read("boot:jobs/lab.json"); err == nil || !strings.Contains(err.Error(), "live system") {
		t.Errorf("without places: %v", err)
	}
	if _, err := read(filepath.Join(t.TempDir(), "x")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// answers is a server of so many answers, the last again and again.
type answers struct {
	list  []func() (*http.Response, error)
	asked int
}

// RoundTrip implements http.RoundTripper.
func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	a.asked++
	answer, err := a.list[min(a.asked, len(a.list))-1]()
	if answer != nil {
		answer.Request = r
	}
	return answer, err
}

// A server that is not there yet, or busy, is asked again for a while; one that
// says no is not.
func TestPatience(t *testing.T) {
	says := func(code int, body io.Reader) func() (*http.Response, error) {
		return func() (*http.Response, error) {
			return &http.Response{StatusCode: code, Status: http.StatusText(code), Body: io.NopCloser(body)}, nil
		}
	}
	fails := func(err error) func() (*http.Response, error) {
		return func() (*http.Response, error) { return nil, err }
	}
	good := func() (*http.Response, error) { return says(200, strings.NewReader("{}"))() }
	refused := fails(&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED})
	cut := func() (*http.Response, error) {
		return says(200, iotest.ErrReader(io.ErrUnexpectedEOF))()
	}
	for name, tt := range map[string]struct {
		list  []func() (*http.Response, error)
		asked int
		ok    bool
	}{
		"at once":        {[]func() (*http.Response, error){good}, 1, true},
		"no network":     {[]func() (*http.Response, error){fails(&net.DNSError{Name: "server"}), refused, good}, 3, true},
		"busy":           {[]func() (*http.Response, error){says(503, http.NoBody), good}, 2, true},
		"cut":            {[]func() (*http.Response, error){cut, good}, 2, true},
		"not there":      {[]func() (*http.Response, error){says(404, http.NoBody)}, 1, false},
		"not its own":    {[]func() (*http.Response, error){fails(x509.UnknownAuthorityError{})}, 1, false},
		"never":          {[]func() (*http.Response, error){refused}, 16, false},
		"never, it says": {[]func() (*http.Response, error){says(500, http.NoBody)}, 16, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := &answers{list: tt.list}
			data, err := System{Client: &http.Client{Transport: a}, Patience: 30 * time.Second}.Read(t.Context(), Reference{URL: "https://server/job.json"}, 10)
			if (err == nil) != tt.ok || tt.ok && string(data) != "{}" || a.asked != tt.asked {
				t.Errorf("%s: asked %d times, want %d: %q, %v", name, a.asked, tt.asked, data, err)
			}
		})
	}
}

func TestDownload(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/job.json" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, "{}")
	}))
	defer plain.Close()
	secure := httptest.NewTLSServer(http.RedirectHandler(plain.URL+"/job.json", http.StatusFound))
	defer secure.Close()
	get := func(s System, url string) (string, error) {
		r, err := Parse(url)
		if err != nil {
			t.Fatal(err)
		}
		data, err := s.Read(t.Context(), r, 10)
		return string(data), err
	}
	if got, err := get(System{}, plain.URL+"/job.json"); got != "{}" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := get(System{}, plain.URL+"/other"); err == nil || !strings.Contains(err.Error(), "404") {
		t.Error(err)
	}
	if _, err := get(System{}, secure.URL+"/"); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a server that nobody vouches for: %v", err)
	}
	client := secure.Client()
	client.CheckRedirect = keepTLS
	if _, err := get(System{Client: client}, secure.URL+"/"); err == nil || !strings.Contains(err.Error(), "https to http") {
		t.Errorf("a way down to http: %v", err)
	}
}

func TestOpenAndName(t *testing.T) {
	for text, want := range map[string]string{
		"http://srv/a/job.json?x": "job.json true true", "https://srv": "/ false true", "boot:jobs/lab.json": "lab.json false false",
		"http://srv/a#sha256=" + strings.Repeat("00", 32): "a false true",
	} {
		r, err := Parse(text)
		if got := fmt.Sprint(r.Name(), " ", r.Open(), " ", r.NeedsNetwork()); err != nil || got != want {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("LABEL=x:/path#sha256=00")
	f.Add("https://a/b")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Parse(text)
		if err == nil && r.URL == "" && r.Path == "" {
			t.Errorf("%q: %+v", text, r)
		}
	})
}
