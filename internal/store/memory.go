package store

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// Memory is a store in memory. The zero value is empty and without limit.
type Memory struct {
	Limit  int64 // bytes of all objects; 0: none
	Locked bool  // read-only

	mu      sync.Mutex
	objects map[string]memoryObject // by name
	folders map[string]bool
	pending int64 // bytes written to objects that are not committed
}

type memoryObject struct {
	data     []byte
	modified time.Time
}

var _ Store = (*Memory)(nil)

// Create implements Store.
func (m *Memory) Create(name string, _ fs.FileMode) (Object, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.writable(name); err != nil {
		return nil, err
	}
	if m.folders[name] {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrExist)
	}
	return &memoryWriter{store: m, name: name}, nil
}

// writable tells whether name can be made; the lock is held.
func (m *Memory) writable(name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if m.Locked {
		return fmt.Errorf("%s: %w", name, ErrReadOnly)
	}
	if folder := path.Dir(name); folder != "." && !m.folders[folder] {
		return fmt.Errorf("%s: %w", folder, fs.ErrNotExist)
	}
	return nil
}

type memoryWriter struct {
	store *Memory
	name  string
	buf   bytes.Buffer
	done  bool
}

func (w *memoryWriter) Write(p []byte) (int, error) {
	m := w.store
	m.mu.Lock()
	defer m.mu.Unlock()
	if w.done {
		return 0, fs.ErrClosed
	}
	if m.Limit > 0 && m.used()+int64(len(p)) > m.Limit {
		return 0, fmt.Errorf("%s: %w", w.name, ErrFull)
	}
	m.pending += int64(len(p))
	return w.buf.Write(p)
}

func (w *memoryWriter) Commit() error {
	m := w.store
	m.mu.Lock()
	defer m.mu.Unlock()
	if w.done {
		return fs.ErrClosed
	}
	w.done = true
	m.pending -= int64(w.buf.Len())
	if folder := path.Dir(w.name); folder != "." && !m.folders[folder] {
		return fmt.Errorf("%s: %w", folder, fs.ErrNotExist)
	}
	if m.objects == nil {
		m.objects = make(map[string]memoryObject)
	}
	m.objects[w.name] = memoryObject{w.buf.Bytes(), time.Now()}
	return nil
}

func (w *memoryWriter) Abort() error {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	if !w.done {
		w.done = true
		w.store.pending -= int64(w.buf.Len())
	}
	return nil
}

// used is the bytes of all objects; the lock is held.
func (m *Memory) used() int64 {
	total := m.pending
	for _, o := range m.objects {
		total += int64(len(o.data))
	}
	return total
}

type memoryReader struct{ *bytes.Reader }

func (memoryReader) Close() error { return nil }

// Open implements Store.
func (m *Memory) Open(name string) (Reader, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.folders[name] {
		return nil, fmt.Errorf("%s: %w", name, ErrNotFile)
	}
	o, ok := m.objects[name]
	if !ok {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return memoryReader{bytes.NewReader(o.data)}, nil
}

// List implements Store.
func (m *Memory) List(folder string) ([]Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if folder != "." {
		if err := CheckName(folder); err != nil {
			return nil, err
		}
		if !m.folders[folder] {
			return nil, fmt.Errorf("%s: %w", folder, fs.ErrNotExist)
		}
	}
	var list []Entry
	for name := range m.folders {
		if path.Dir(name) == folder {
			list = append(list, Entry{Name: path.Base(name), Folder: true})
		}
	}
	for name, o := range m.objects {
		if path.Dir(name) == folder {
			list = append(list, Entry{Name: path.Base(name), Size: int64(len(o.data)), Regular: true, Modified: o.modified})
		}
	}
	slices.SortFunc(list, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// MakeFolder implements Store.
func (m *Memory) MakeFolder(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.writable(name); err != nil {
		return err
	}
	if _, ok := m.objects[name]; ok || m.folders[name] {
		return fmt.Errorf("%s: %w", name, fs.ErrExist)
	}
	if m.folders == nil {
		m.folders = make(map[string]bool)
	}
	m.folders[name] = true
	return nil
}

// Rename implements Store.
func (m *Memory) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := CheckName(from); err != nil {
		return err
	}
	if err := m.writable(to); err != nil {
		return err
	}
	object, isObject := m.objects[from]
	_, taken := m.objects[to]
	switch {
	case taken || m.folders[to]:
		return fmt.Errorf("%s: %w", to, fs.ErrExist)
	case isObject:
		delete(m.objects, from)
		m.objects[to] = object
	case m.folders[from]:
		m.renameFolder(from, to)
	default:
		return fmt.Errorf("%s: %w", from, fs.ErrNotExist)
	}
	return nil
}

func (m *Memory) renameFolder(from, to string) {
	objects, folders := make(map[string]memoryObject), make(map[string]bool)
	for name, o := range m.objects {
		objects[moved(name, from, to)] = o
	}
	for name := range m.folders {
		folders[moved(name, from, to)] = true
	}
	m.objects, m.folders = objects, folders
}

// moved is the name of what was called name after from was renamed to to.
func moved(name, from, to string) string {
	if rest, ok := strings.CutPrefix(name+"/", from+"/"); ok {
		return strings.TrimSuffix(to+"/"+rest, "/")
	}
	return name
}

// Remove implements Store.
func (m *Memory) Remove(name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.Locked {
		return fmt.Errorf("%s: %w", name, ErrReadOnly)
	}
	for object := range m.objects {
		if strings.HasPrefix(object+"/", name+"/") {
			delete(m.objects, object)
		}
	}
	for folder := range m.folders {
		if strings.HasPrefix(folder+"/", name+"/") {
			delete(m.folders, folder)
		}
	}
	return nil
}

// Free implements Store.
func (m *Memory) Free() (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.Limit == 0 {
		return -1, nil
	}
	return m.Limit - m.used(), nil
}

// ReadOnly implements Store.
func (m *Memory) ReadOnly() bool { return m.Locked }
