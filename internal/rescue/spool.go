package rescue

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"doppel.live/internal/extent"
	"doppel.live/internal/store"
)

// The files of a spool.
const (
	fileIdentity = "doppel-rescue.json"
	fileMap      = "map"
	pieceSize    = 64 << 20 // bytes of the disk in one file
	openPieces   = 16
)

// Identity says of which disk a spool is.
type Identity struct {
	Format     int    `json:"format"` // 1
	Image      string `json:"image"`  // name of the image to come
	Disk       string `json:"disk"`   // kernel name
	Model      string `json:"model"`
	Serial     string `json:"serial"`
	Size       int64  `json:"size"`        // bytes
	SectorSize int64  `json:"sector_size"` // bytes

	Partitions []int    `json:"partitions,omitempty"` // numbers of those that are saved; none: all
	Except     []string `json:"except,omitempty"`     // names of those that are left out
}

// same tells whether two identities can be of one disk. Kernel names change.
func (i Identity) same(o Identity) bool {
	return i.Model == o.Model && i.Serial == o.Serial && i.Size == o.Size && i.SectorSize == o.SectorSize
}

// Spool is a folder that keeps what was read of a disk.
type Spool struct {
	root   *os.Root
	path   string
	also   string // a second place for the map; "" none
	lock   *os.File
	pieces map[int64]*os.File
	dirty  map[int64]bool
}

// ErrBusy says that another rescue is at work with the same spool.
var ErrBusy = errors.New("another rescue is at work on this")

// ErrMap says that the map of a spool is damaged, or cannot be read.
var ErrMap = errors.New("the map of what was read cannot be used")

// ErrOther says that a spool is of another disk.
var ErrOther = errors.New("the rescue that was begun is of another disk")

// CreateSpool makes the folder path for a disk; fs.ErrExist where it is there.
func CreateSpool(path string, id Identity) (*Spool, error) {
	if err := os.Mkdir(path, 0o700); err != nil {
		return nil, full(err)
	}
	id.Format = 1
	data, err := json.MarshalIndent(id, "", "\t")
	if err != nil {
		return nil, err
	}
	s, err := openSpool(path)
	if err == nil {
		err = s.write(fileIdentity, append(data, '\n'))
	}
	if err == nil {
		err = s.hold()
	}
	if err != nil {
		return nil, errors.Join(err, s.Remove())
	}
	return s, nil
}

// OpenSpool opens a spool that is there, of the disk that id names.
func OpenSpool(path string, id Identity) (*Spool, error) {
	s, is, err := OpenLost(path)
	if err == nil && !is.same(id) {
		return nil, errors.Join(fmt.Errorf("%w: %q, serial number %q, %d bytes", ErrOther, is.Model, is.Serial, is.Size), s.Close())
	}
	return s, err
}

// OpenLost opens a spool that is there, of whatever disk; it says which.
func OpenLost(path string) (*Spool, Identity, error) {
	s, err := openSpool(path)
	if err != nil {
		return nil, Identity{}, err
	}
	data, err := s.readFile(fileIdentity, 1<<20)
	var is Identity
	if err == nil {
		err = json.Unmarshal(data, &is)
	}
	switch {
	case err != nil:
		err = fmt.Errorf("%s: %w", path, err)
	case is.Format != 1:
		err = fmt.Errorf("%s: a rescue of format %d", path, is.Format)
	case is.Size <= 0 || is.SectorSize < 512 || is.SectorSize > 64<<10 || is.SectorSize&(is.SectorSize-1) != 0:
		err = fmt.Errorf("%s: a disk of %d bytes with sectors of %d", path, is.Size, is.SectorSize)
	default:
		err = s.hold()
	}
	if err != nil {
		return nil, is, errors.Join(err, s.Close())
	}
	return s, is, nil
}

func openSpool(path string) (*Spool, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return &Spool{path: path}, err
	}
	return &Spool{root: root, path: path, pieces: map[int64]*os.File{}, dirty: map[int64]bool{}}, nil
}

// hold keeps other rescues away.
func (s *Spool) hold() (err error) {
	if s.lock, err = s.root.Open(fileIdentity); err != nil {
		return err
	}
	if err := unix.Flock(int(s.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return ErrBusy
	}
	return nil // some file systems know no locks
}

// Also names a file that gets a copy of the map whenever that is written.
func (s *Spool) Also(path string) { s.also = path }

// Close gives the folder up; what is in it stays.
func (s *Spool) Close() error {
	if s.root == nil {
		return nil
	}
	var errs []error
	for _, f := range s.pieces {
		errs = append(errs, f.Close())
	}
	clear(s.pieces)
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
		s.lock = nil
	}
	return errors.Join(append(errs, s.root.Close())...)
}

// Remove removes the folder, when the image is whole or nothing was begun.
func (s *Spool) Remove() error {
	_ = s.Close() // a second time where the disk was closed
	return os.RemoveAll(s.path)
}

func full(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EFBIG) {
		return fmt.Errorf("%w: %w", store.ErrFull, err)
	}
	return err
}

func pieceName(n int64) string { return fmt.Sprintf("%08d.raw", n) }

// piece opens a file of the spool.
func (s *Spool) piece(n int64, make bool) (*os.File, error) {
	if f := s.pieces[n]; f != nil {
		return f, nil
	}
	flags := os.O_RDWR
	if make {
		flags |= os.O_CREATE
	}
	f, err := s.root.OpenFile(pieceName(n), flags, 0o600)
	if err != nil {
		return nil, full(err)
	}
	if len(s.pieces) >= openPieces {
		for old, g := range s.pieces { // any one will do
			var err error
			if s.dirty[old] {
				err = g.Sync()
			}
			delete(s.pieces, old)
			delete(s.dirty, old)
			if err := errors.Join(err, g.Close()); err != nil {
				f.Close()
				return nil, full(err)
			}
			break
		}
	}
	s.pieces[n] = f
	return f, nil
}

func (s *Spool) writeAt(p []byte, off int64) error {
	for len(p) > 0 {
		n, at := off/pieceSize, off%pieceSize
		f, err := s.piece(n, true)
		if err != nil {
			return err
		}
		k := min(int64(len(p)), pieceSize-at)
		s.dirty[n] = true
		if _, err := f.WriteAt(p[:k], at); err != nil {
			return full(err)
		}
		p, off = p[k:], off+k
	}
	return nil
}

func (s *Spool) readAt(p []byte, off int64) error {
	for len(p) > 0 {
		n, at := off/pieceSize, off%pieceSize
		f, err := s.piece(n, false)
		if err != nil {
			return err
		}
		k := min(int64(len(p)), pieceSize-at)
		if m, err := f.ReadAt(p[:k], at); int64(m) < k {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		p, off = p[k:], off+k
	}
	return nil
}

// save syncs what was written and then writes the map.
func (s *Spool) save(data []byte) error {
	for n := range s.dirty {
		if err := s.pieces[n].Sync(); err != nil {
			return full(err)
		}
		delete(s.dirty, n)
	}
	if s.also != "" {
		_ = os.WriteFile(s.also, data, 0o600) // only a copy
	}
	return s.write(fileMap, data)
}

// write writes a small file so that there is the old one or the new one.
func (s *Spool) write(name string, data []byte) error {
	const pending = ".new"
	f, err := s.root.OpenFile(name+pending, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return full(err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return full(err)
	}
	return s.root.Rename(name+pending, name)
}

func (s *Spool) readFile(name string, limit int64) ([]byte, error) {
	f, err := s.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s is longer than %d bytes", name, limit)
	}
	return data, err
}

// loadMap reads the map. What it says was read and is not in the files counts
// as not tried.
func (s *Spool) loadMap(size, sector int64) (*Map, error) {
	data, err := s.readFile(fileMap, maxMap)
	if errors.Is(err, fs.ErrNotExist) {
		return NewMap(size), nil
	} else if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMap, err)
	}
	m, err := ParseMap(data, size)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrMap, filepath.Join(s.path, fileMap), err)
	}
	for _, b := range m.blocks {
		if b.offset%sector != 0 {
			return nil, fmt.Errorf("%w: %s: byte %d is not the beginning of a sector", ErrMap, filepath.Join(s.path, fileMap), b.offset)
		}
	}
	for _, e := range m.Extents([]extent.Extent{{Length: size}}, Finished) {
		for off := e.Offset; off < e.End(); {
			n := off / pieceSize
			end := min(e.End(), (n+1)*pieceSize)
			if fi, err := s.root.Lstat(pieceName(n)); err != nil || !fi.Mode().IsRegular() || fi.Size() < end-n*pieceSize {
				m.Set(extent.Extent{Offset: off, Length: end - off}, NonTried)
			}
			off = end
		}
	}
	return m, nil
}

// Room is how much a spool for a list takes at most: what is read, or, on a
// file system without sparse files, every file up to the last byte in it.
func Room(list []extent.Extent, sparse bool) int64 {
	if sparse {
		return extent.Total(list)
	}
	ends := map[int64]int64{}
	for _, e := range list {
		for n := e.Offset / pieceSize; n*pieceSize < e.End(); n++ {
			ends[n] = min(e.End()-n*pieceSize, pieceSize)
		}
	}
	var sum int64
	for _, end := range ends {
		sum += end
	}
	return sum
}
