package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"doppel.live/build/debian"
)

// treesKept is how long an unpacked tree stays in the cache unused.
const treesKept = 14 * 24 * time.Hour

// tree fetches packages and unpacks them into a directory of the cache. The
// name of the directory tells its contents, so that it is made once.
func (b *builder) tree(name string, list []*debian.Package) (string, error) {
	debs := filepath.Join(b.cache, "debs")
	if err := b.apt.Fetch(debs, list); err != nil {
		return "", err
	}
	hash := sha256.New()
	for _, p := range list {
		fmt.Fprintln(hash, p)
	}
	trees := filepath.Join(b.cache, "trees")
	tree := filepath.Join(trees, name+"-"+hex.EncodeToString(hash.Sum(nil))[:16])
	now := time.Now()
	if os.Chtimes(tree, now, now) == nil {
		return tree, nil
	}
	if err := os.MkdirAll(trees, 0o755); err != nil {
		return "", err
	}
	unpacked, err := os.MkdirTemp(trees, "new-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(unpacked)
	if err := debian.Unpack(debs, unpacked, list); err != nil {
		return "", err
	}
	if err := os.Chmod(unpacked, 0o755); err != nil {
		return "", err
	}
	// dpkg-deb gave it the time of the package
	if err := os.Chtimes(unpacked, now, now); err != nil {
		return "", err
	}
	if err := os.Rename(unpacked, tree); err != nil {
		return "", err
	}
	return tree, removeOld(trees, now.Add(-treesKept))
}

// removeOld removes what was last used before a moment.
func removeOld(dir string, before time.Time) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || info.ModTime().After(before) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
