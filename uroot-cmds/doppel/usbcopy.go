package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"doppel.live/internal/blockdev"
	"doppel.live/internal/progress"
	"doppel.live/internal/stick"
	"doppel.live/internal/store"
)

type meter = *progress.Meter

// copyAll copies images, those that are there already excepted.
func copyAll(ctx context.Context, from, to store.Store, names []string, bytes int64, m meter) error {
	if free, err := to.Free(); err == nil && free >= 0 && free < bytes {
		return fmt.Errorf("%w: %s are free and %s are needed", store.ErrFull, blockdev.Bytes(free), blockdev.Bytes(bytes))
	}
	for _, name := range names {
		n, err := stick.SizeOf(from, name)
		if err != nil {
			return err
		}
		m.Step("copying image "+name, name, 2*n)
		if _, err := to.List(name); err == nil {
			m.Warn("image " + name + " is on the stick already, and stays as it is")
			m.Add(2 * n)
			continue
		}
		if err := stick.CopyImage(ctx, from, to, name, m); err != nil {
			return err
		}
	}
	return nil
}

// canMount says whether the kernel has a driver for a file system, as far as
// that can be known.
func canMount(fsys string) bool {
	fsys = driver(fsys)
	if text, err := os.ReadFile("/proc/filesystems"); err == nil && strings.Contains(string(text), "\t"+fsys+"\n") {
		return true
	}
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return true
	}
	list, err := os.ReadFile(filepath.Join("/lib/modules", unix.ByteSliceToString(u.Release[:]), "modules.dep"))
	return err != nil || strings.Contains(string(list), "/"+fsys+".ko")
}

// driver is the kernel's name of a file system that images lie on.
func driver(fsys string) string {
	switch fsys {
	case "ext2", "ext3":
		return "ext4"
	case "ntfs":
		return "ntfs3"
	}
	return fsys
}

// mountImages mounts the images partition of a stick where nobody else looks.
func mountImages(d blockdev.Disk, im stick.Images) (folder string, unmount func() error, err error) {
	node := ""
	for deadline := time.Now().Add(5 * time.Second); node == ""; time.Sleep(50 * time.Millisecond) {
		if name := (blockdev.System{}).Partitions(d.Name)[im.Number]; name != "" {
			if _, err := os.Stat("/dev/" + name); err == nil {
				node = "/dev/" + name
			}
		}
		if time.Now().After(deadline) {
			return "", nil, fmt.Errorf("the kernel does not show partition %d of %s", im.Number, d.Path)
		}
	}
	if folder, err = os.MkdirTemp("", "doppel-usb-"); err != nil {
		return "", nil, err
	}
	if err := unix.Mount(node, folder, driver(im.FileSystem), unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC|unix.MS_NOATIME, ""); err != nil {
		os.Remove(folder)
		if errors.Is(err, unix.ENODEV) {
			err = fmt.Errorf("this kernel has no driver for %s: %w", im.FileSystem, err)
		}
		return "", nil, &fs.PathError{Op: "mount", Path: node, Err: err}
	}
	return folder, func() error {
		err := unix.Unmount(folder, 0)
		return errors.Join(err, os.Remove(folder))
	}, nil
}
