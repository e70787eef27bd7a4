package initramfs

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
)

const (
	certificatePackage = "ca-certificates"
	certificateFolder  = "usr/share/ca-certificates/mozilla" // one file for each certificate
	certificateBundle  = "etc/ssl/certs/ca-certificates.crt" // where crypto/x509 looks
	fewestCertificates = 50
)

// addCertificates puts the certificates of those in who sign for web servers.
// The package's own script makes the bundle when it is installed; here nothing
// is installed.
func addCertificates(a archive, sysroot string) error {
	files, err := filepath.Glob(filepath.Join(sysroot, certificateFolder, "*.crt")) // sorted
	if err != nil {
		return err
	}
	var bundle bytes.Buffer
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		block, _ := pem.Decode(data)
		if block == nil {
			return fmt.Errorf("%s: no certificate", file)
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		bundle.Write(pem.EncodeToMemory(block))
	}
	if len(files) < fewestCertificates {
		return fmt.Errorf("package %s: only %d certificates", certificatePackage, len(files))
	}
	a.addData("package "+certificatePackage, certificateBundle, bundle.Bytes())
	return nil
}
