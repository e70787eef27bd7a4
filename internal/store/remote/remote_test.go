package remote

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, test := range []struct {
		spec, back string // back "" is the same
		want       Location
		secret     string
	}{
		{"nfs://srv/export/images", "", Location{Scheme: NFS, Host: "srv", Path: "/export/images"}, ""},
		{"nfs4://10.0.0.1/x", "nfs://10.0.0.1/x?version=4", Location{Scheme: NFS, Host: "10.0.0.1", Path: "/x", Version: "4"}, ""},
		{"nfs://[fe80::1]/x", "", Location{Scheme: NFS, Host: "fe80::1", Path: "/x"}, ""},
		{"nfs://[::1]:2050/x", "", Location{Scheme: NFS, Host: "::1", Port: 2050, Path: "/x"}, ""},
		{"smb://LAB;anna:geheim@srv/share/a b", "smb://LAB;anna@srv/share/a%20b",
			Location{Scheme: SMB, Domain: "LAB", User: "anna", Host: "srv", Path: "/share/a b"}, "geheim"},
		{`smb://LAB%5Canna@srv/share`, "smb://LAB;anna@srv/share", Location{Scheme: SMB, Domain: "LAB", User: "anna", Host: "srv", Path: "/share"}, ""},
		{"ssh://root@srv:2222/../images/", "sftp://root@srv:2222/images", Location{Scheme: SFTP, User: "root", Host: "srv", Port: 2222, Path: "/images"}, ""},
		{"sftp://a@srv/i?host_key=SHA256:a+b/c", "sftp://a@srv/i?host_key=SHA256%3Aa%2Bb%2Fc",
			Location{Scheme: SFTP, User: "a", Host: "srv", Path: "/i", HostKey: "SHA256:a+b/c"}, ""},
		{"https://srv/images", "", Location{Scheme: HTTPS, Host: "srv", Path: "/images"}, ""},
	} {
		t.Run(test.spec, func(t *testing.T) {
			got, secret, err := Parse(test.spec)
			if err != nil || got != test.want || secret.Reveal() != test.secret {
				t.Fatalf("%+v, secret %q, %v", got, secret.Reveal(), err)
			}
			back := test.back
			if back == "" {
				back = test.spec
			}
			if got.String() != back {
				t.Errorf("as text %s, want %s", got, back)
			}
			if again, _, err := Parse(got.String()); err != nil || again != got {
				t.Errorf("read back %+v, %v", again, err)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, spec := range []string{"ftp://srv/x", "nfs:///x", "smb://srv", "nfs://srv/x?version=9", "http://srv/x?host_key=SHA256:a",
		"sftp://u:hush\x01@srv/x", "nfs://srv:99999/x", "images", "nfs://srv/a%0ab", "smb://u:hush@srv:x/y"} {
		_, _, err := Parse(spec)
		var e *Error
		if !errors.As(err, &e) || e.Reason != BadName || e.Next == "" {
			t.Errorf("%q: %v", spec, err)
		} else if strings.Contains(e.Error()+e.Next, "hush") {
			t.Errorf("%q: the error tells the password: %v", spec, e)
		}
	}
}

func TestSecretIsNeverPrinted(t *testing.T) {
	c, err := ReadCredentials(strings.NewReader(`{"user": "anna", "password": "p%41 ss/wort"}`))
	if err != nil || c.Password.Reveal() != "p%41 ss/wort" {
		t.Fatal(err)
	}
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{string(data)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		texts = append(texts, fmt.Sprintf(verb, c), fmt.Sprintf(verb, &c), fmt.Sprintf(verb, c.Password))
	}
	for _, text := range texts {
		if strings.Contains(text, "wort") || strings.Contains(text, fmt.Sprintf("%x", "wort")) {
			t.Errorf("printed: %s", text)
		}
	}
	line := "mount smb://anna:p%2541%20ss%2Fwort@srv/x with p%41 ss/wort"
	if got := Scrub(line, c.Secrets()...); strings.Contains(got, "wort") {
		t.Errorf("scrubbed: %s", got)
	}
}

func TestReadCredentialsRefuses(t *testing.T) {
	for _, text := range []string{"", "password", `{"pasword": "hush"}`, `{"password": 5}`, `{"password": "` + strings.Repeat("x", maxCredentials) + `"}`} {
		if _, err := ReadCredentials(strings.NewReader(text)); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"nfs://srv/x?version=4.2", "smb://D;u:p@h/s/f", "sftp://u@[::1]:22/x?host_key=SHA256:abc", "https://h/%2e%2e/x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		l, _, err := Parse(spec)
		if err != nil {
			return
		}
		again, secret, err := Parse(l.String())
		if err != nil || again != l || !secret.Empty() {
			t.Errorf("%q: %+v read back as %+v, %v", spec, l, again, err)
		}
	})
}
