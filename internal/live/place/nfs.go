package place

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"doppel.live/internal/store/remote"
)

// patience is how NFS waits (nfs(5)): one question is repeated for ten minutes,
// so that a job outlives a server that is away for a while, and then fails with
// "timed out", so that neither a job nor its end hangs for ever. What was not
// written is told by fsync and close, and no image is whole without those. The
// first wait is also after how many seconds a dead connection is looked for.
const patience = "softerr,timeo=100,retrans=59"

// nfsVersions are tried in this order. What 4.2 adds is of no use here, and
// with one server (nfs-ganesha 4.3 and Linux 6.12) a file read by it was cut
// short; it is used where a URL asks for it.
var nfsVersions = [...]string{"4.1", "4.0", "3"}

// versions are those that a URL allows.
func versions(l remote.Location) []string {
	var out []string
	for _, v := range nfsVersions {
		if l.Version == "" || l.Version == v || l.Version == "4" && v != "3" {
			out = append(out, v)
		}
	}
	if len(out) == 0 {
		out = []string{l.Version} // the kernel knows better
	}
	return out
}

// mountNFS mounts a folder of an NFS server. An export that version 4 does not
// show may still be there for version 3.
func mountNFS(at server, l remote.Location) (*os.File, error) {
	var first error
	for _, v := range versions(l) {
		if at.port == portmapper && l.Port == 0 && v != "3" {
			continue // nothing at the port of version 4
		}
		if first != nil && v != "3" && !errors.Is(first, unix.EPROTONOSUPPORT) {
			continue // another version 4 says the same
		}
		root, err := nfsAttempt(at, l, v).create()
		if err == nil {
			return root, nil
		}
		if first == nil || errors.Is(first, unix.EPROTONOSUPPORT) {
			first = err
		}
	}
	return nil, nfsError(l, first)
}

// nfsAttempt is the mount of one version of NFS. The kernel asks an NFS 3
// server for ports and for the folder by itself.
func nfsAttempt(at server, l remote.Location, version string) attempt {
	host, proto := l.Host, "tcp"
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if at.addr.Is6() {
		proto = "tcp6"
	}
	a := attempt{driver: "nfs", source: host + ":" + l.Path, options: append(flags(patience),
		option{"vers", version}, option{"proto", proto}, option{"addr", at.addr.String()})}
	if l.Port != 0 {
		a.options = append(a.options, option{"port", strconv.Itoa(l.Port)})
	}
	if version == "3" {
		// Locks need a second service on both sides; one job writes one image.
		a.options = append(a.options, option{"nolock", ""}, option{"mountvers", "3"}, option{"mountproto", proto}, option{"mountaddr", at.addr.String()})
	} else {
		a.options = append(a.options, option{"clientaddr", at.local.String()})
	}
	return a
}

// nfsError says in words what the kernel's number means for NFS.
func nfsError(l remote.Location, err error) error {
	if e := (*remote.Error)(nil); errors.As(err, &e) {
		return err
	}
	e := &remote.Error{Reason: remote.Broken, What: l.String() + " cannot be mounted", Err: err, Next: "Look at the server's own log."}
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
		e.Reason, e.What = remote.NoFolder, fmt.Sprintf("%s exports no folder %s to this machine", l.Host, l.Path)
		e.Next = "Correct the folder, or export it on the server to this machine's address (exportfs -v lists them there)."
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM): // version 3 says so of a folder that is not there, too
		e.Reason, e.What = remote.NoFolder, fmt.Sprintf("%s does not give %s to this machine", l.Host, l.Path)
		e.Next = "Export the folder on the server to this machine's address, or correct the folder's name. A password does not help with NFS."
	case errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EPFNOSUPPORT):
		e.Reason, e.What = remote.Refused, l.Host+" does not serve this version of NFS"
		e.Next = "Leave version= out of the URL, or allow the version on the server."
	default:
		return kernelError(l, e, err)
	}
	e.Err = nil
	return e
}

// kernelError completes what means the same for every kind of server.
func kernelError(l remote.Location, e *remote.Error, err error) error {
	switch {
	case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.ECONNABORTED):
		e.Reason, e.What, e.Next = remote.Refused, l.Host+" refused or ended the connection", "Start the service on the server, or correct the port."
	case errors.Is(err, unix.ETIMEDOUT), errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTDOWN):
		e.Reason, e.What, e.Next = remote.NoRoute, l.Host+" does not answer", "Look at the cable, the address and whether the server runs."
	case errors.Is(err, unix.ENODEV):
		e.What, e.Next = "this kernel has no driver for "+l.Scheme, "Choose another kind of place, or install the driver's module."
	case errors.Is(err, unix.EROFS):
		e.Reason, e.Next = remote.ReadOnly, "Let it be written on the server, or choose another place to save to."
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		e.Reason, e.Next = remote.Full, "Remove something there, or choose another place to save to."
	}
	return e
}
