package initramfs

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCertificates(t *testing.T) {
	sysroot := t.TempDir()
	folder := filepath.Join(sysroot, certificateFolder)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for i := range fewestCertificates {
		if i == fewestCertificates-1 {
			if err := addCertificates(make(archive), sysroot); err == nil || !strings.Contains(err.Error(), "only") {
				t.Errorf("one is missing: %v", err)
			}
		}
		form := &x509.Certificate{SerialNumber: big.NewInt(int64(i)), Subject: pkix.Name{CommonName: fmt.Sprint(i)}}
		der, err := x509.CreateCertificate(rand.Reader, form, form, public, private)
		if err != nil {
			t.Fatal(err)
		}
		text := append([]byte("a comment\n"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("%02d.crt", i)), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	a := make(archive)
	if err := addCertificates(a, sysroot); err != nil {
		t.Fatal(err)
	}
	if pool := x509.NewCertPool(); !pool.AppendCertsFromPEM(a[certificateBundle].data) || strings.Contains(string(a[certificateBundle].data), "comment") {
		t.Error("the bundle is none")
	}
	if err := os.WriteFile(filepath.Join(folder, "x.crt"), []byte("no certificate"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := addCertificates(make(archive), sysroot); err == nil {
		t.Error("a file that is no certificate was taken")
	}
}
