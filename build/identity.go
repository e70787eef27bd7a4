package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"doppel.live/build/debian"
)

// noTime is the time of builds without SOURCE_DATE_EPOCH and without git.
const noTime = 1767225600 // 2026-01-01 00:00:00 UTC

// buildTime is what everything in the image carries as its time:
// SOURCE_DATE_EPOCH, or that of the last commit.
func buildTime(source string) (time.Time, error) {
	seconds := os.Getenv("SOURCE_DATE_EPOCH")
	if seconds == "" {
		seconds = strconv.Itoa(noTime)
		log := exec.Command("git", "-c", "safe.directory=*", "log", "-1", "--format=%ct")
		log.Dir = source
		if out, err := log.Output(); err == nil {
			seconds = strings.TrimSpace(string(out))
		}
	}
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH is %q, not a number of seconds", seconds)
	}
	return time.Unix(n, 0).UTC(), nil
}

// inputs are the directories and files of the source that decide what is in
// an image.
func inputs() []string {
	return []string{"go.mod", "go.sum", "build", "initramfs", "internal", "iso", "uroot-cmds"}
}

// identity derives a UUID from everything that decides what is in the image,
// so that equal images have equal ones and others do not. It names the medium.
func (b *builder) identity(list []*debian.Package) (string, error) {
	hash := sha256.New()
	fmt.Fprintln(hash, runtime.Version(), b.time.Unix(), b.free)
	for _, p := range list {
		fmt.Fprintln(hash, p)
	}
	for _, name := range inputs() {
		if err := hashTree(hash, b.source, name); err != nil {
			return "", err
		}
	}
	return uuid(hash.Sum(nil)), nil
}

// hashTree adds names and contents of files, except those that tests alone
// read.
func hashTree(w io.Writer, root, name string) error {
	return fs.WalkDir(os.DirFS(root), name, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "testdata":
			return fs.SkipDir
		case !d.Type().IsRegular() || strings.HasSuffix(name, "_test.go") || strings.HasSuffix(name, ".md"):
			return nil
		}
		data, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s %x\n", name, sha256.Sum256(data))
		return nil
	})
}

// uuid makes a UUID of version 8 (RFC 9562, 5.8) from a hash.
func uuid(hash []byte) string {
	u := [16]byte(hash)
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	h := hex.EncodeToString(u[:])
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}
