package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"doppel.live/internal/live/sshd"
	"golang.org/x/crypto/ssh"
)

func TestKeysOf(t *testing.T) {
	host, err := sshd.NewHostKey()
	if err != nil {
		t.Fatal(err)
	}
	key := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(host.PublicKey())))
	file := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(file, []byte(key+" a\n"+key+" b\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]int{key: 1, file: 2} {
		if keys, err := keysOf(t.Context(), text); err != nil || len(keys) != want {
			t.Errorf("%.20s: %d keys, %v", text, len(keys), err)
		}
	}
	for text, says := range map[string]string{
		"http://10.0.0.1/keys":                       "could be anybody's",
		"ssh-ed25519 nonsense":                       "no public key",
		file + "x":                                   "no such file",
		"ftp://10.0.0.1/keys":                        "no way to name a file",
		file + "#sha256=" + strings.Repeat("00", 32): "not the one",
	} {
		if _, err := keysOf(t.Context(), text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %s", text, err, says)
		}
	}
}

func TestNobodyComesIn(t *testing.T) {
	var out, errs bytes.Buffer
	if got := run(context.Background(), []string{"--authorized", "/no/such/file", "--listen", "127.0.0.1:0"}, &out, &errs); got != 1 || !strings.Contains(errs.String(), "nobody may come in") {
		t.Errorf("status %d, %q", got, errs.String())
	}
	if got := run(context.Background(), nil, &out, &errs); got != 2 {
		t.Errorf("status %d", got)
	}
}
