package remote

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
)

// Hidden stands where a secret was.
const Hidden = "(hidden)"

// Secret is a password or a key. Whatever prints it, as text, by reflection
// or as JSON, prints Hidden; Reveal alone gives it away.
type Secret struct{ hold func() string }

// NewSecret keeps text. "" is no secret.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{func() string { return text }}
}

// Reveal gives the secret, for the one place that needs it.
func (s Secret) Reveal() string {
	if s.hold == nil {
		return ""
	}
	return s.hold()
}

// Empty tells whether there is none.
func (s Secret) Empty() bool { return s.hold == nil }

func (s Secret) String() string {
	if s.Empty() {
		return ""
	}
	return Hidden
}

// Format prints Hidden for every verb.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// LogValue keeps it out of structured logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalJSON gives Hidden.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// UnmarshalJSON reads a secret.
func (s *Secret) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return fmt.Errorf("a secret must be a text") // the error of json would quote it
	}
	*s = NewSecret(text)
	return nil
}

// Credentials are what a server asks for. Their JSON is the form of a
// credentials file: every field may be left out.
type Credentials struct {
	User       string `json:"user"`       // instead of the one in the URL
	Domain     string `json:"domain"`     // smb
	Guest      bool   `json:"guest"`      // smb: without a user
	Password   Secret `json:"password"`   // smb, sftp, http
	Key        Secret `json:"key"`        // sftp: a private key, PEM or OpenSSH
	Passphrase Secret `json:"passphrase"` // of the key
	HostKey    string `json:"host_key"`   // sftp: "SHA256:…" that the server must show
}

// maxCredentials bounds a credentials file, in bytes.
const maxCredentials = 64 << 10

// ReadCredentials reads JSON. Its errors quote nothing of it.
func ReadCredentials(r io.Reader) (Credentials, error) {
	var c Credentials
	data, err := io.ReadAll(io.LimitReader(r, maxCredentials+1))
	if err == nil && len(data) > maxCredentials {
		err = fmt.Errorf("more than %d bytes", maxCredentials)
	}
	if err == nil {
		d := json.NewDecoder(strings.NewReader(string(data)))
		d.DisallowUnknownFields()
		if d.Decode(&c) != nil {
			err = fmt.Errorf(`not JSON of the form {"user": …, "password": …}, with texts for user, domain, password, key, passphrase, host_key and true or false for guest`)
		}
	}
	if err != nil {
		return Credentials{}, &Error{Reason: Denied, What: "the credentials cannot be read", Err: err,
			Next: "Correct the file, or leave it out and type what is asked for."}
	}
	return c, nil
}

// Secrets lists what must appear nowhere.
func (c Credentials) Secrets() []Secret { return []Secret{c.Password, c.Key, c.Passphrase} }

// Scrub replaces each of the secrets in text by Hidden, also where it is
// percent-encoded as in a URL.
func Scrub(text string, secrets ...Secret) string {
	for _, s := range secrets {
		if s.Empty() {
			continue
		}
		for _, form := range forms(s.Reveal()) {
			text = strings.ReplaceAll(text, form, Hidden)
		}
	}
	return text
}

// forms are the ways in which a secret may be written.
func forms(s string) []string {
	return []string{s, url.QueryEscape(s), url.PathEscape(s), url.UserPassword("", s).String()[1:]}
}
