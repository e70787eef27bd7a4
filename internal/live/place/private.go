package place

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"doppel.live/internal/store/remote"
)

// Mount mounts a place for this process alone, on any Linux, and gives a path
// to it that is good until release: a disk as LABEL=, UUID= or device, or a
// URL of NFS or SMB. The mount is in no file tree, so nobody else sees it, and
// nothing of it is left when the process ends in whatever way. It needs root.
func Mount(ctx context.Context, spec string, cred remote.Credentials) (dir string, release func() error, err error) {
	return System{}.Mount(ctx, spec, cred)
}

// Mount is the function Mount for the disks of s.
func (s System) Mount(ctx context.Context, spec string, cred remote.Credentials) (dir string, release func() error, err error) {
	root, err := s.private(ctx, spec, cred)
	if err != nil {
		return "", nil, err
	}
	return procPath(root), root.Close, nil
}

func (s System) private(ctx context.Context, spec string, cred remote.Credentials) (*os.File, error) {
	if !remote.Is(spec) {
		p, err := s.local(spec)
		if err != nil {
			return nil, err
		}
		root, _, err := s.mount(p)
		return root, err
	}
	l, cred, err := parse(spec, cred)
	if err != nil {
		return nil, err
	}
	if l.Scheme != remote.NFS && l.Scheme != remote.SMB {
		return nil, &remote.Error{Reason: remote.BadName, What: "places of the kind " + l.Scheme + " are not mounted", Next: "Use their URL."}
	}
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	root, _, err := mountRemote(ctx, l, cred)
	return root, err
}

// ReadFile reads a file of at most limit bytes: a path, or one on a disk that
// is not mounted, as
//
//	boot:FILE               on the medium that was started from, or a partition of it
//	LABEL=x:FILE, UUID=x:FILE
//
// It waits for the disk until ctx ends.
func (s System) ReadFile(ctx context.Context, name string, limit int64) ([]byte, error) {
	spec, file, ok := cutPlace(name)
	if !ok {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return readAll(f, name, limit)
	}
	var data []byte
	err := s.whenThere(ctx, spec, func(context.Context) (err error) {
		data, err = s.readFrom(spec, file, limit)
		return err
	})
	return data, err
}

// cutPlace takes the name of a file on a disk apart.
func cutPlace(name string) (spec, file string, ok bool) {
	spec, file, ok = strings.Cut(name, ":")
	file = strings.TrimPrefix(path.Clean("/"+file), "/")
	return spec, file, ok && file != "" && (spec == Boot || strings.HasPrefix(spec, "LABEL=") || strings.HasPrefix(spec, "UUID="))
}

// readFrom reads a file of a disk. Of the boot medium the partitions beside the
// live system come first: people can write to those.
func (s System) readFrom(spec, file string, limit int64) ([]byte, error) {
	list, err := s.disks()
	if err != nil {
		return nil, err
	}
	p, err := find(list, spec)
	if err != nil {
		return nil, err
	}
	var candidates []Place
	for _, q := range list {
		if spec == Boot && q.BootMedium && q.Spec != Boot {
			candidates = append(candidates, q)
		}
	}
	candidates = append(candidates, p)
	for _, p := range candidates {
		var data []byte
		if data, err = s.readOn(p, file, limit); !errors.Is(err, fs.ErrNotExist) {
			return data, err
		}
	}
	return nil, fmt.Errorf("%s: %w", spec, err)
}

// readOn reads a file of one place, which is changed in nothing.
func (s System) readOn(p Place, file string, limit int64) ([]byte, error) {
	p.ReadOnly = true
	mount, _, err := s.mount(p)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EBUSY) { // mounted for writing by somebody
		p.ReadOnly = false
		mount, _, err = s.mount(p)
	}
	if err != nil {
		return nil, err
	}
	defer mount.Close()
	root, err := os.OpenRoot(procPath(mount))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := root.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, file, limit)
}

func readAll(f *os.File, name string, limit int64) ([]byte, error) {
	if info, err := f.Stat(); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", name)
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s: more than %d bytes", name, limit)
	}
	return data, err
}
