package open

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"doppel.live/internal/store"
	"doppel.live/internal/store/remote"
	"doppel.live/internal/store/storetest/sshd"
)

func TestStore(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "a"), []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(http.FileServer(http.Dir(folder)))
	defer web.Close()
	at, _, err := remote.Parse(web.URL)
	if err != nil {
		t.Fatal(err)
	}
	server := sshd.Start(t)
	for name, l := range map[string]remote.Location{"sftp": server.Location(folder), "http": at} {
		s, err := Options{}.Store(context.Background(), l, server.Credentials())
		if name == "http" {
			s, err = Options{}.Store(context.Background(), l, remote.Credentials{})
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if data, err := store.ReadFile(s, "a", 10); err != nil || string(data) != "data" {
			t.Errorf("%s: %q, %v", name, data, err)
		}
		if err := s.(interface{ Close() error }).Close(); err != nil {
			t.Error(err)
		}
	}
	var e *remote.Error
	if _, err := Store(context.Background(), remote.Location{Scheme: remote.NFS, Host: "h", Path: "/x"}, remote.Credentials{}); !errors.As(err, &e) || e.Reason != remote.BadName {
		t.Error(err)
	}
}

// Outside the live system the keys of OpenSSH count and ours are written.
func TestDefault(t *testing.T) {
	if _, err := os.Stat(liveMark); err == nil {
		t.Skip("this is the live system")
	}
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("SSH_AUTH_SOCK", "/agent")
	o := Default()
	if o.Agent != "/agent" || o.Keys.Record != home+"/.config/doppel/known_hosts" || len(o.Keys.Files) != 2 || o.Keys.Files[1] != home+"/.ssh/known_hosts" || o.Keys.Consent != nil {
		t.Errorf("%+v", o)
	}
	server := sshd.Start(t)
	l := server.Location(t.TempDir())
	l.HostKey = ""
	var e *remote.Error
	if _, err := Store(context.Background(), l, server.Credentials()); !errors.As(err, &e) || e.Reason != remote.NewKey {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(home, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, ".ssh/known_hosts"), []byte(server.KnownHost()), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Store(context.Background(), l, server.Credentials()); err != nil {
		t.Fatal(err)
	}
}
