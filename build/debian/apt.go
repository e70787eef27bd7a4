package debian

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Apt is an apt with a configuration of its own.
type Apt struct {
	Config  string // file that APT_CONFIG names
	Offline bool   // fetch nothing
}

// Lists reads the package lists that apt has fetched.
func (t Apt) Lists() (*Archive, error) {
	out, err := t.output("apt-get", "indextargets", "--format", "$(FILENAME)", "Identifier: Packages")
	if err != nil {
		return nil, err
	}
	a := NewArchive()
	for _, name := range strings.Fields(out) {
		if err := a.readFile(name); err != nil {
			return nil, err
		}
	}
	if len(a.packages) == 0 {
		return nil, errors.New("no package lists in the cache: build once without --offline")
	}
	return a, nil
}

func (a *Archive) readFile(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return a.Read(f)
}

// Fetch downloads packages into a directory. Those that lie there whole are
// not fetched again; every one is checked against the hash in its list.
func (t Apt) Fetch(dir string, list []*Package) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	args := []string{"apt-get", "-q", "download"}
	var missing []*Package
	for _, p := range list {
		if p.check(dir) != nil {
			missing = append(missing, p)
			args = append(args, p.Name+"="+p.Version)
		}
	}
	if missing == nil {
		return nil
	}
	if t.Offline {
		return fmt.Errorf("%d packages are not in the cache, %s first: build once without --offline", len(missing), missing[0].Name)
	}
	cmd := t.command(args...)
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("download of %d packages, %s first: %w", len(missing), missing[0].Name, err)
	}
	for _, p := range missing {
		if err := p.check(dir); err != nil {
			return err
		}
	}
	return nil
}

// check compares the downloaded package with its hash.
func (p *Package) check(dir string) error {
	f, err := os.Open(filepath.Join(dir, p.File()))
	if err != nil {
		return err
	}
	defer f.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return err
	}
	if hex.EncodeToString(hash.Sum(nil)) != p.SHA256 {
		return fmt.Errorf("%s: not the file that the package list names", f.Name())
	}
	return nil
}

// Unpack unpacks downloaded packages over each other into a directory.
func Unpack(dir, into string, list []*Package) error {
	for _, p := range list {
		deb := filepath.Join(dir, p.File())
		if out, err := exec.Command("dpkg-deb", "--extract", deb, into).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", p.File(), err, bytes.TrimSpace(out))
		}
	}
	return nil
}

func (t Apt) command(args ...string) *exec.Cmd {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "APT_CONFIG="+t.Config, "LC_ALL=C")
	return cmd
}

func (t Apt) output(args ...string) (string, error) {
	cmd := t.command(args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", strings.Join(args[:2], " "), err)
	}
	return string(out), nil
}
