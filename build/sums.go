package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// sumsFile names the results of a build with their SHA-256, as sha256sum -c
// reads them.
const sumsFile = "SHA256SUMS"

func writeSums(dir string, names ...string) error {
	var text strings.Builder
	for _, name := range names {
		sum, err := sum(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		fmt.Fprintf(&text, "%s  %s\n", sum, name)
	}
	return os.WriteFile(filepath.Join(dir, sumsFile), []byte(text.String()), 0o644)
}

// checkSums reports whether every result is there as it was built.
func checkSums(dir string) bool {
	f, err := os.Open(filepath.Join(dir, sumsFile))
	if err != nil {
		return false
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		want, name, _ := strings.Cut(lines.Text(), "  ")
		if got, err := sum(filepath.Join(dir, name)); err != nil || got != want {
			return false
		}
	}
	return lines.Err() == nil
}

func sum(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
