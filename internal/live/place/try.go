package place

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"

	"doppel.live/internal/store"
	"doppel.live/internal/store/remote"
)

// trySize is how much is written to see whether a place takes anything, in
// bytes: more than a server keeps in its head.
const trySize = 64 << 10

// try lists a place and writes a small object to it: neither the options of a
// mount nor the free space tell whether that works. A place that can only be
// read is no error.
func try(l remote.Location, st store.Store) (Chosen, error) {
	c := Chosen{Spec: l.String(), Free: -1}
	if _, err := st.List("."); err != nil {
		return Chosen{}, storeError(l, err)
	}
	if free, err := st.Free(); err == nil {
		c.Free = free
	}
	err := error(store.ErrReadOnly)
	if !st.ReadOnly() {
		err = write(st)
	}
	switch {
	case err == nil:
	case errors.Is(err, store.ErrFull):
		c.Reason, c.Advice = remote.Full, "There is no room left, or a quota is reached: remove something there, or choose another place to save to."
	case errors.Is(err, store.ErrReadOnly):
		c.ReadOnly, c.Reason, c.Advice = true, remote.ReadOnly, "The server gives it for reading only: let it be written there, or choose another place to save to."
	case errors.Is(err, fs.ErrPermission):
		c.ReadOnly, c.Reason, c.Advice = true, remote.ReadOnly, notAllowed(l)
	default:
		return Chosen{}, storeError(l, err)
	}
	return c, nil
}

// write writes an object and removes it again.
func write(st store.Store) error {
	name := "doppel-test-" + rand.Text()[:12]
	data := bytes.Repeat([]byte("doppel looks whether this place can be written to\n"), trySize/50)
	err := store.WriteFile(st, name, data, 0o600)
	return errors.Join(err, st.Remove(name))
}

// notAllowed says what lets a place be written that the server refuses.
func notAllowed(l remote.Location) string {
	if l.Scheme == remote.NFS {
		return "This machine may not write there: export the folder with no_root_squash, or let everybody write to it; or choose another place to save to."
	}
	return "This user may not write there: give the user the right to, or name another user."
}

// storeError says in words why a place that was reached cannot be used.
func storeError(l remote.Location, err error) error {
	if e := (*remote.Error)(nil); errors.As(err, &e) {
		return err
	}
	e := &remote.Error{Reason: remote.Broken, What: l.String() + " cannot be used", Err: err, Next: "Look at the server's own log."}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		e.Reason, e.What, e.Next = remote.NoFolder, "there is no folder "+l.Path+" on "+l.Host, "Make the folder on the server, or correct the name."
	case errors.Is(err, fs.ErrPermission):
		e.Reason, e.What, e.Next = remote.Denied, "the server does not let the folder "+l.Path+" be read", "Give the user the right to, or name another user."
		if l.Scheme == remote.NFS {
			e.Next = "Export it with no_root_squash, or let everybody read it. A password does not help with NFS."
		}
	case errors.Is(err, unix.ESTALE):
		e.Next = "The folder was taken away on the server: choose the place again."
	}
	return e
}
