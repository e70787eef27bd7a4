package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// host builds out/doppel, for any Linux.
func (b *builder) host() error {
	if err := os.MkdirAll(b.out, 0o755); err != nil {
		return err
	}
	return b.command(b.goTool, "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w",
		"-o", filepath.Join(b.out, "doppel"), "./uroot-cmds/doppel")
}

// command runs a program in the source's directory.
func (b *builder) command(args ...string) error {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = b.source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w", filepath.Base(args[0]), args[1], err)
	}
	return nil
}
