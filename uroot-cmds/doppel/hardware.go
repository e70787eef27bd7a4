package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"slices"
	"time"

	"doppel.live/internal/blockdev"
)

// maxInfo is the most that an image keeps of what one program says, in bytes.
const maxInfo = 1 << 20

// hardware says what the machine and its disks are, as the files of that kind
// in Clonezilla's images do: for people who wonder later what was saved.
// Programs that are not there, or that do not come to an end, are left out.
func hardware(ctx context.Context, disks []blockdev.Disk) map[string][]byte {
	if !slices.ContainsFunc(disks, func(d blockdev.Disk) bool { return d.Transport != "file" }) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	files := map[string][]byte{}
	for _, program := range []struct {
		file string
		argv []string
	}{
		{"Info-dmi.txt", []string{"dmidecode"}},
		{"Info-lspci.txt", []string{"lspci", "-nn"}},
		{"Info-lshw.txt", []string{"lshw"}},
	} {
		if text := said(ctx, program.argv...); len(text) > 0 {
			files[program.file] = text
		}
	}
	var smart, tables bytes.Buffer
	for _, d := range disks {
		if d.Transport != "file" {
			smart.Write(said(ctx, "smartctl", "--all", d.Path))
			tables.Write(said(ctx, "fdisk", "--list", d.Path))
		}
	}
	if smart.Len() > 0 {
		files["Info-smart.txt"] = smart.Bytes()
	}
	if tables.Len() > 0 {
		files["fdisk.list"] = tables.Bytes()
	}
	return files
}

// said is what a program writes to its standard output; nothing where it is
// absent. Its exit status does not count: that of smartctl tells of the disk.
func said(ctx context.Context, argv ...string) []byte {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.WaitDelay = time.Second
	out := &limited{left: maxInfo}
	cmd.Stdout = out
	_ = cmd.Run()
	return out.Bytes()
}

// limited keeps the first bytes that are written to it.
type limited struct {
	bytes.Buffer
	left int
}

var _ io.Writer = (*limited)(nil)

func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.left -= n
	l.Buffer.Write(p[:n])
	return len(p), nil
}
