package place

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"doppel.live/internal/store/remote"
)

// Record is a place in a network that is the chosen one, as it lies in
// RecordFile: for those that are used by their URL, not mounted.
type Record struct {
	URL         string
	Credentials remote.Credentials
	ReadOnly    bool // nothing could be written when it was tried
}

// RecordFile holds the record in the live system: in memory, for root alone.
const RecordFile = "/" + useRecord

// maxRecord bounds a record, in bytes.
const maxRecord = 256 << 10

// recordJSON is the form of a record. Its secrets are plain.
type recordJSON struct {
	URL         string          `json:"url"`
	Credentials json.RawMessage `json:"credentials,omitempty"`
	ReadOnly    bool            `json:"read_only,omitempty"`
}

// plain are credentials with their secrets in the clear, for the record only.
type plain struct {
	User       string `json:"user,omitempty"`
	Domain     string `json:"domain,omitempty"`
	Guest      bool   `json:"guest,omitempty"`
	Password   string `json:"password,omitempty"`
	Key        string `json:"key,omitempty"`
	Passphrase string `json:"passphrase,omitempty"`
	HostKey    string `json:"host_key,omitempty"`
}

// ReadRecord reads a record; fs.ErrNotExist where no such place is chosen.
func ReadRecord(file string) (Record, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return Record{}, err
	}
	var r recordJSON
	if len(data) > maxRecord || json.Unmarshal(data, &r) != nil || r.URL == "" {
		return Record{}, fmt.Errorf("%s: no record of a place", file) // without a quotation
	}
	out := Record{URL: r.URL, ReadOnly: r.ReadOnly}
	if len(r.Credentials) > 0 {
		out.Credentials, err = remote.ReadCredentials(bytes.NewReader(r.Credentials))
	}
	return out, err
}

func (s System) readRecord(name string) (Record, error) { return ReadRecord(s.path(name)) }

// writeRecord replaces a record.
func (s System) writeRecord(name string, r Record) error {
	c := r.Credentials
	secrets, err := json.Marshal(plain{c.User, c.Domain, c.Guest, c.Password.Reveal(), c.Key.Reveal(), c.Passphrase.Reveal(), c.HostKey})
	if err != nil {
		return err
	}
	data, err := json.Marshal(recordJSON{r.URL, secrets, r.ReadOnly})
	if err != nil {
		return err
	}
	file := s.path(name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	next := file + ".new"
	_ = os.Remove(next) // so that its mode is ours
	if err := os.WriteFile(next, data, 0o600); err != nil {
		return fmt.Errorf("record of the place: %w", err)
	}
	return os.Rename(next, file)
}
