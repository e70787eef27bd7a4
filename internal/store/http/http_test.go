package http

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"doppel.live/internal/store"
	"doppel.live/internal/store/dir"
	"doppel.live/internal/store/remote"
	"doppel.live/internal/store/storetest"
)

// both writes into a folder and reads what a server shows of it.
type both struct {
	*dir.Dir
	web *Store
}

func (b both) Open(name string) (store.Reader, error)    { return b.web.Open(name) }
func (b both) List(folder string) ([]store.Entry, error) { return b.web.List(folder) }
func location(t testing.TB, text string) remote.Location {
	t.Helper()
	l, _, err := remote.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func open(t testing.TB, opts Options) *Store {
	t.Helper()
	s, err := Open(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// servers are programs that serve a folder at a port until the test ends.
func servers() map[string]func(t *testing.T, folder string, port int) *exec.Cmd {
	config := func(t *testing.T, text string) string {
		path := filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return map[string]func(t *testing.T, folder string, port int) *exec.Cmd{
		"python": func(t *testing.T, folder string, port int) *exec.Cmd {
			return exec.Command("python3", "-m", "http.server", "-b", "127.0.0.1", "-d", folder, strconv.Itoa(port))
		},
		"busybox": func(t *testing.T, folder string, port int) *exec.Cmd {
			return exec.Command("busybox", "httpd", "-f", "-p", fmt.Sprintf("127.0.0.1:%d", port), "-h", folder)
		},
		"nginx": func(t *testing.T, folder string, port int) *exec.Cmd {
			tmp := t.TempDir()
			c := config(t, fmt.Sprintf(`daemon off; master_process off; pid %[3]s/pid; error_log stderr; user root;
events {} http { access_log off; client_body_temp_path %[3]s; proxy_temp_path %[3]s; fastcgi_temp_path %[3]s; uwsgi_temp_path %[3]s; scgi_temp_path %[3]s;
types { text/plain txt; } server { listen 127.0.0.1:%[1]d; root %[2]s; autoindex on; } }`, port, folder, tmp))
			return exec.Command("nginx", "-c", c)
		},
		"lighttpd": func(t *testing.T, folder string, port int) *exec.Cmd {
			c := config(t, fmt.Sprintf("server.modules = (\"mod_dirlisting\")\nserver.bind = \"127.0.0.1\"\nserver.port = %d\nserver.document-root = %q\ndir-listing.activate = \"enable\"\nserver.stat-cache-engine = \"disable\"\n", port, folder))
			return exec.Command("lighttpd", "-D", "-f", c)
		},
		"apache": func(t *testing.T, folder string, port int) *exec.Cmd {
			var load strings.Builder
			for _, m := range []string{"mpm_event", "authz_core", "dir", "autoindex"} {
				fmt.Fprintf(&load, "LoadModule %s_module /usr/lib/apache2/modules/mod_%s.so\n", m, m)
			}
			c := config(t, fmt.Sprintf("%sListen 127.0.0.1:%d\nServerName localhost\nPidFile %s/pid\nErrorLog %s/log\nDocumentRoot %s\n<Directory %s>\nOptions +Indexes\nRequire all granted\nIndexOptions FancyIndexing\n</Directory>\n",
				load.String(), port, t.TempDir(), t.TempDir(), folder, folder))
			return exec.Command("apache2", "-X", "-f", c)
		},
	}
}

// serve starts a server and waits until it answers.
func serve(t *testing.T, name, folder string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	cmd := servers()[name](t, folder, port)
	if cmd.Err != nil {
		t.Skip(cmd.Err)
	}
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			c.Close()
			return fmt.Sprintf("http://127.0.0.1:%d/", port)
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not start: %s", name, said.String())
		}
	}
}

func TestServers(t *testing.T) {
	run := func(name string, serve func(t *testing.T, folder string) string) {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			if err := os.Chmod(root, 0o755); err != nil {
				t.Fatal(err)
			}
			base := serve(t, root)
			n := 0
			storetest.Run(t, func(t *testing.T) store.Store {
				n++
				folder := filepath.Join(root, fmt.Sprintf("place %d+ä%%", n))
				if err := os.Mkdir(folder, 0o755); err != nil {
					t.Fatal(err)
				}
				d, err := dir.Open(folder)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { d.Close() })
				return both{d, open(t, Options{Location: location(t, base+url.PathEscape(filepath.Base(folder)))})}
			})
		})
	}
	run("go", func(t *testing.T, folder string) string {
		s := httptest.NewServer(http.FileServer(http.Dir(folder)))
		t.Cleanup(s.Close)
		return s.URL + "/"
	})
	for name := range servers() {
		if name == "busybox" { // it shows no lists
			continue
		}
		run(name, func(t *testing.T, folder string) string { return serve(t, name, folder) })
	}
}

func TestNothingIsWritten(t *testing.T) {
	server := httptest.NewServer(http.FileServer(http.Dir(t.TempDir())))
	defer server.Close()
	s := open(t, Options{Location: location(t, server.URL)})
	_, err := s.Create("a", 0o644)
	for _, err := range []error{err, s.MakeFolder("a"), s.Rename("a", "b"), s.Remove("a")} {
		if !errors.Is(err, store.ErrReadOnly) {
			t.Error(err)
		}
	}
	if free, err := s.Free(); free != -1 || err != nil || !s.ReadOnly() {
		t.Error(free, err)
	}
}

// fault is a server that cuts answers, is busy, or changes what it has.
type fault struct {
	data     []byte
	tag      string
	requests atomic.Int64
	cut      func(n int64) int // bytes after which the answer to request n is cut; 0 never, -1: 503
	ranges   bool
}

func (f *fault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/" {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, `<a href="a">a</a>`)
		return
	}
	if r.Method == http.MethodGet {
		f.requests.Add(1)
	}
	if f.tag != "" {
		w.Header().Set("Etag", f.tag)
	}
	if !f.ranges {
		r.Header.Del("Range")
	}
	if r.Method == http.MethodGet && f.cut != nil {
		switch n := f.cut(f.requests.Load()); {
		case n < 0:
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		case n > 0:
			w = &cutter{w, n}
		}
	}
	http.ServeContent(w, r, "a", time.Unix(1e9, 0), bytes.NewReader(f.data))
}

// cutter ends the connection in the middle of an answer.
type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(p []byte) (int, error) {
	if c.left -= len(p); c.left < 0 {
		_, _ = c.ResponseWriter.Write(p[:len(p)+c.left])
		panic(http.ErrAbortHandler)
	}
	return c.ResponseWriter.Write(p)
}

// opened serves f until the test ends and opens the object that it has.
func opened(t *testing.T, f *fault, opts Options) (store.Reader, *httptest.Server) {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	opts.Location = location(t, server.URL)
	r, err := open(t, opts).Open("a")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r, server
}

func noise(n int) []byte {
	data := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(data)
	return data
}

func TestAnswersThatAreCut(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	f := &fault{data: noise(20 << 20), tag: `"x"`, ranges: true, cut: func(n int64) int {
		if n%4 == 1 {
			return -1
		}
		return 1 + random.IntN(2<<20)
	}}
	server := httptest.NewServer(f)
	defer server.Close()
	s := open(t, Options{Location: location(t, server.URL)})
	got, err := store.ReadFile(s, "a", 1<<30)
	if err != nil || !bytes.Equal(got, f.data) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	t.Logf("%d requests", f.requests.Load())
	if f.requests.Load() < 10 {
		t.Error("it was not cut")
	}
}

func TestForwardReadsTakeOneRequest(t *testing.T) {
	for _, ranges := range []bool{true, false} {
		f := &fault{data: noise(30 << 20), ranges: ranges}
		r, _ := opened(t, f, Options{})
		got, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
		if err != nil || !bytes.Equal(got, f.data) {
			t.Fatal(len(got), err)
		}
		if n := f.requests.Load(); n != 1 {
			t.Errorf("ranges %v: %d requests", ranges, n)
		}
	}
}

func TestReadsHereAndThere(t *testing.T) {
	for _, ranges := range []bool{true, false} {
		f := &fault{data: noise(30 << 20), ranges: ranges}
		r, _ := opened(t, f, Options{})
		p := make([]byte, 3<<20)
		for _, off := range []int64{25 << 20, 1000, 12 << 20, 27<<20 - 1, 0} {
			if n, err := r.ReadAt(p, off); n != len(p) || err != nil || !bytes.Equal(p, f.data[off:off+int64(n)]) {
				t.Errorf("ranges %v, at %d: %d, %v", ranges, off, n, err)
			}
		}
	}
}

func TestChangedWhileRead(t *testing.T) {
	for name, change := range map[string]func(f *fault){
		"another tag":  func(f *fault) { f.tag = `"y"` },
		"another size": func(f *fault) { f.data = append(f.data, 1); f.tag = "" },
		"shorter":      func(f *fault) { f.data = f.data[:1000]; f.tag = "" },
	} {
		t.Run(name, func(t *testing.T) {
			f := &fault{data: noise(30 << 20), tag: `"x"`, ranges: true}
			if name != "another tag" {
				f.tag = ""
			}
			r, _ := opened(t, f, Options{})
			if _, err := r.ReadAt(make([]byte, 10), 0); err != nil {
				t.Fatal(err)
			}
			change(f)
			if _, err := r.ReadAt(make([]byte, 10), 29<<20); !errors.Is(err, ErrChanged) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestServerStaysAway(t *testing.T) {
	r, server := opened(t, &fault{data: noise(30 << 20), ranges: true}, Options{Away: time.Second})
	server.Close()
	_, err := r.ReadAt(make([]byte, 10), 29<<20)
	var e *remote.Error
	if !errors.As(err, &e) || e.Reason != remote.Refused {
		t.Errorf("%v", err)
	}
}

func TestReasons(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/away"):
			http.Redirect(w, r, "http://example.invalid/", http.StatusFound)
		case strings.HasPrefix(r.URL.Path, "/none"):
			http.NotFound(w, r)
		case r.URL.Path == "/odd/a":
			w.Header().Set("Content-Range", "bytes 5-6/7")
			w.WriteHeader(http.StatusPartialContent)
		default:
			if user, password, _ := r.BasicAuth(); user != "anna" || password != "hush" {
				w.WriteHeader(http.StatusUnauthorized)
			}
		}
	}
	plain, secure := httptest.NewServer(http.HandlerFunc(handler)), httptest.NewTLSServer(http.HandlerFunc(handler))
	defer plain.Close()
	defer secure.Close()
	shown := fingerprint(secure.Certificate())
	pool := x509.NewCertPool()
	pool.AddCert(secure.Certificate())
	anna := remote.Credentials{User: "anna", Password: remote.NewSecret("hush")}
	pinned, wrong := anna, anna
	pinned.HostKey, wrong.HostKey = shown, "SHA256:other"
	for _, test := range []struct {
		name, url string
		opts      Options
		want      remote.Reason
	}{
		{"no credentials", plain.URL, Options{}, remote.Denied},
		{"a password in the clear", plain.URL, Options{Credentials: anna}, remote.Denied},
		{"no folder", plain.URL + "/none", Options{}, remote.NoFolder},
		{"another server", plain.URL + "/away", Options{}, remote.Refused},
		{"nobody there", "http://127.0.0.1:1/", Options{}, remote.Refused},
		{"unknown certificate", secure.URL, Options{Credentials: anna}, remote.NewKey},
		{"trusted certificate", secure.URL, Options{Credentials: anna, Roots: pool}, ""},
		{"pinned certificate", secure.URL, Options{Credentials: pinned}, ""},
		{"changed certificate", secure.URL, Options{Credentials: wrong}, remote.OtherKey},
		{"wrong password", secure.URL, Options{Credentials: remote.Credentials{Password: remote.NewSecret("x")}, Roots: pool}, remote.Denied},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.opts.Location = location(t, test.url)
			s, err := Open(context.Background(), test.opts)
			if err == nil {
				s.Close()
			}
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var e *remote.Error
			if !errors.As(err, &e) || e.Reason != test.want || e.Next == "" || strings.Contains(e.Error(), "hush") {
				t.Fatalf("%#v", err)
			}
			if keyed := e.Reason == remote.NewKey || e.Reason == remote.OtherKey; keyed && e.Fingerprint != shown {
				t.Errorf("fingerprint %q", e.Fingerprint)
			}
		})
	}
}

func TestWithoutListsFromBusybox(t *testing.T) {
	folder, err := filepath.Abs("testdata/nolist")
	if err != nil {
		t.Fatal(err)
	}
	withoutLists(t, serve(t, "busybox", folder))
}

// A server without lists: an index in the place, the sums of an image in it.
func TestWithoutLists(t *testing.T) {
	files := http.FileServer(http.Dir("testdata/nolist"))
	for _, status := range []int{http.StatusForbidden, http.StatusNotFound} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/") {
				w.WriteHeader(status)
				return
			}
			files.ServeHTTP(w, r)
		}))
		defer server.Close()
		withoutLists(t, server.URL)
	}
}

func withoutLists(t *testing.T, url string) {
	t.Helper()
	s := open(t, Options{Location: location(t, url)})
	for folder, want := range map[string][]string{".": {"index", "lab"}, "lab": {"B3SUMS", "disk", "sda1.img"}} {
		entries, err := s.List(folder)
		var got []string
		for _, e := range entries {
			got = append(got, e.Name)
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v", folder, got, err)
		}
	}
	if data, err := store.ReadFile(s, "lab/sda1.img", 100); err != nil || string(data) != "data\n" {
		t.Errorf("%q, %v", data, err)
	}
	var e *remote.Error
	if _, err := s.List("none"); !errors.Is(err, fs.ErrNotExist) && !errors.As(err, &e) {
		t.Errorf("list of nothing: %v", err)
	}
}

func FuzzParseIndex(f *testing.F) {
	f.Add(`<html><a href="../">..</a><a href="a%20b">x</a><A HREF='c/'>y</A><a href="/x/d">`)
	f.Add(`<a href="?C=N;O=D"><a href="//other/x/e"><a href="f?x"><a href=".doppel-1"><a href="a%2Fb">`)
	f.Fuzz(func(t *testing.T, page string) {
		base, _ := url.Parse("http://host/x/")
		list, err := parseIndex(strings.NewReader(page), base)
		if err != nil {
			return
		}
		for _, c := range list {
			if store.CheckName(c.name) != nil || strings.Contains(c.name, "/") {
				t.Errorf("%q", c.name)
			}
		}
	})
}

func TestParseIndex(t *testing.T) {
	base, _ := url.Parse("http://host/x/")
	list, err := parseIndex(strings.NewReader(`<a href="../">..</a> <a href="a%20b">x</a><A HREF='c/'>y</A><a href="/x/d"><a href="?C=N">
<a href="//other/x/e"><a href="f?x"><a href=".doppel-1"><a href="a%2Fb"><a href="g/h"><a href="./i"><a href="d"><a href="http://host/x/k/">`), base)
	want := []child{{"a b", false}, {"c", true}, {"d", false}, {"i", false}, {"k", true}}
	if err != nil || !slices.Equal(list, want) {
		t.Errorf("%v, %v", list, err)
	}
}
