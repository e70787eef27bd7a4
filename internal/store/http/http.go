// Package http reads the objects of a store from a web server, over HTTP/1.1
// and HTTPS (RFC 9110, 9112). It never writes.
//
// Folders are listed by what the server shows of them: the pages of nginx,
// Apache, lighttpd, Go's and Python's servers, of which the links to children
// count; else by a text file called index in the folder, one name a line, those
// of folders with a "/" behind; else by the sums of an image (B3SUMS). Objects
// are read by ranges. A server that knows none can only be read forwards.
//
// It has no proxies but those of the environment, no cookies, no digest
// authentication, and follows no redirect to another host.
package http

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"path"
	"time"

	"doppel.live/internal/store"
	"doppel.live/internal/store/remote"
)

// Options say how a server is reached. The zero value of all that is not the
// location is a good default.
type Options struct {
	Location remote.Location
	// Credentials.HostKey, "SHA256:" and the base64 of the SHA-256 of the
	// server's certificate, is an agreement to that certificate alone.
	Credentials remote.Credentials
	Roots       *x509.CertPool    // who may sign certificates; nil is the system's
	Tell        func(text string) // told of trouble that is being waited out; may be nil
	Away        time.Duration     // that a server may be away; 0 is two minutes
	Silence     time.Duration     // after which a peer is taken for dead; 0 is 25 s
}

// Store is a folder of a web server.
type Store struct {
	opts   Options
	ctx    context.Context
	cancel context.CancelFunc
	client *http.Client
	base   *url.URL // of the folder, with a "/" at its end
}

var _ store.Store = (*Store)(nil)

// Open reaches the server and looks whether the folder can be there. It reads
// until ctx ends. Errors are *remote.Error.
func Open(ctx context.Context, opts Options) (*Store, error) {
	if opts.Away == 0 {
		opts.Away = 2 * time.Minute
	}
	if opts.Silence == 0 {
		opts.Silence = 25 * time.Second
	}
	if !opts.Credentials.Password.Empty() && opts.Location.Scheme != remote.HTTPS {
		return nil, &remote.Error{Reason: remote.Denied, What: "a password would travel to " + opts.Location.Host + " for all to read", Next: "Write https:// in place of http://, or leave the password out."}
	}
	base, err := url.Parse(opts.Location.String())
	if err != nil {
		return nil, &remote.Error{Reason: remote.BadName, What: "this is no URL", Next: "Write it as https://server/folder."}
	}
	base.User, base.RawQuery, base.RawPath = nil, "", ""
	base.Path = path.Join("/", base.Path)
	if base.Path != "/" {
		base.Path += "/"
	}
	s := &Store{opts: opts, base: base}
	s.ctx, s.cancel = context.WithCancel(ctx)
	s.client = &http.Client{CheckRedirect: sameHost, Transport: opts.transport()}
	if err := s.enter(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// transport speaks HTTP/1.1 alone: a range that is read forwards has a
// connection of its own.
func (o Options) transport() *http.Transport {
	config := &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12}
	if pin := o.Credentials.HostKey; pin != "" {
		config.InsecureSkipVerify = true // the certificate itself was agreed to
		config.VerifyConnection = func(c tls.ConnectionState) error {
			if shown := fingerprint(c.PeerCertificates[0]); shown != pin {
				return &certificateError{shown}
			}
			return nil
		}
	}
	dialer := net.Dialer{Timeout: 20 * time.Second}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, TLSClientConfig: config,
		TLSHandshakeTimeout: 20 * time.Second, ResponseHeaderTimeout: o.Silence, MaxIdleConnsPerHost: 8,
		DisableCompression: true, // sizes and ranges are those of what is stored
		TLSNextProto:       map[string]func(string, *tls.Conn) http.RoundTripper{},
	}
}

// certificateError is a certificate that is not the one agreed to.
type certificateError struct{ fingerprint string }

func (e *certificateError) Error() string {
	return "the server shows a certificate that is not the one agreed to"
}

// fingerprint is how a certificate is pinned.
func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

var errRedirect = errors.New("it sends us to another server")

func sameHost(r *http.Request, via []*http.Request) error {
	first := via[0].URL
	same := r.URL.Host == first.Host && r.URL.Scheme == first.Scheme
	safer := r.URL.Hostname() == first.Hostname() && first.Scheme == "http" && r.URL.Scheme == "https"
	if !same && !safer || len(via) > 5 {
		return errRedirect
	}
	return nil
}

// Close ends all requests.
func (s *Store) Close() error {
	s.cancel()
	s.client.CloseIdleConnections()
	return nil
}

// url is where a name lies.
func (s *Store) url(name string) string {
	u := *s.base
	u.Path += name
	return u.String()
}

// statusError is an answer other than the one that was wanted.
type statusError struct {
	name   string
	status int
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%s: the server says %d %s", e.name, e.status, http.StatusText(e.status))
}

func (e *statusError) Is(target error) bool {
	return target == fs.ErrNotExist && (e.status == http.StatusNotFound || e.status == http.StatusGone) ||
		target == fs.ErrPermission && (e.status == http.StatusForbidden || e.status == http.StatusUnauthorized)
}

// request asks once. The answer is one with the status 200 or 206.
func (s *Store) request(ctx context.Context, method, name string, header http.Header) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, s.url(name), nil)
	if err != nil {
		return nil, err
	}
	for key, values := range header {
		r.Header[key] = values
	}
	r.Header.Set("User-Agent", "doppel")
	if c := s.opts.Credentials; !c.Password.Empty() {
		user := c.User
		if user == "" {
			user = s.opts.Location.User
		}
		r.SetBasicAuth(user, c.Password.Reveal())
	}
	answer, err := s.client.Do(r)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusPartialContent {
		_, _ = io.CopyN(io.Discard, answer.Body, 64<<10) // the connection can be used again
		answer.Body.Close()
		return nil, &statusError{name, answer.StatusCode}
	}
	return answer, nil
}

// enter looks whether the folder can be there.
func (s *Store) enter() error {
	answer, err := s.request(s.ctx, http.MethodGet, "", nil)
	if err == nil {
		return answer.Body.Close()
	}
	var status *statusError
	if errors.As(err, &status) {
		switch status.status {
		case http.StatusForbidden: // it shows no list
			return nil
		case http.StatusNotFound, http.StatusGone:
			if answer, err := s.request(s.ctx, http.MethodHead, indexFile, nil); err == nil {
				return answer.Body.Close()
			}
		}
	}
	return s.explain(err)
}

// explain says why the server could not be used and what to do.
func (s *Store) explain(err error) error {
	host := s.opts.Location.Host
	var status *statusError
	var other *certificateError
	var broken *tls.CertificateVerificationError
	if e := remote.Unreachable(err, host); e != nil {
		return e
	}
	switch {
	case errors.As(err, &other):
		return &remote.Error{Reason: remote.OtherKey, Fingerprint: other.fingerprint, What: host + ": " + other.Error(),
			Next: "Somebody may stand between this machine and the server. If it has a new certificate, agree to that."}
	case errors.As(err, &broken) && len(broken.UnverifiedCertificates) > 0:
		shown := fingerprint(broken.UnverifiedCertificates[0])
		return &remote.Error{Reason: remote.NewKey, Fingerprint: shown, What: fmt.Sprintf("%s shows a certificate that is not trusted (%s)", host, shown), Err: broken.Err,
			Next: "Check the clock of this machine and the server's name; or agree to this certificate: host_key in the credentials."}
	case errors.Is(err, errRedirect):
		return &remote.Error{Reason: remote.Refused, What: host + " sends us to another server", Next: "Name that one, if it is to be trusted."}
	case !errors.As(err, &status):
		return &remote.Error{Reason: remote.Broken, What: host + " gives no answer that is understood", Next: "Check the port, and http or https.", Err: err}
	case status.status == http.StatusUnauthorized, status.status == http.StatusForbidden:
		return &remote.Error{Reason: remote.Denied, What: host + " does not let us in", Next: "Check the user's name and the password.", Err: err}
	case status.status == http.StatusNotFound, status.status == http.StatusGone:
		return &remote.Error{Reason: remote.NoFolder, What: fmt.Sprintf("there is no folder %s on %s", s.opts.Location.Path, host), Next: "Check its name. A server that lists no folders needs a text file called index there, with one name a line."}
	}
	return &remote.Error{Reason: remote.Broken, What: host + " cannot serve it now", Next: "Look at the log of the server.", Err: err}
}

func readOnly(name string, more ...string) error {
	if err := store.CheckName(name); err != nil {
		return err
	}
	for _, n := range more {
		if err := store.CheckName(n); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s: %w: nothing can be written over HTTP", name, store.ErrReadOnly)
}

// Create implements store.Store: it cannot be done.
func (s *Store) Create(name string, _ fs.FileMode) (store.Object, error) { return nil, readOnly(name) }

// MakeFolder implements store.Store: it cannot be done.
func (s *Store) MakeFolder(name string) error { return readOnly(name) }

// Rename implements store.Store: it cannot be done.
func (s *Store) Rename(from, to string) error { return readOnly(from, to) }

// Remove implements store.Store: it cannot be done.
func (s *Store) Remove(name string) error { return readOnly(name) }

// Free implements store.Store.
func (s *Store) Free() (int64, error) { return -1, nil }

// ReadOnly implements store.Store.
func (s *Store) ReadOnly() bool { return true }

// isCertificate tells whether an error is about the server's certificate.
func isCertificate(err error) bool {
	var other *certificateError
	var broken *tls.CertificateVerificationError
	return errors.As(err, &other) || errors.As(err, &broken)
}
