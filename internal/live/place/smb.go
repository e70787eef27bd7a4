package place

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"doppel.live/internal/store/remote"
)

// persistence is how SMB waits (mount.cifs(8)): a question is repeated until
// the server is back; whether it is there is asked every 20 seconds, and after
// three of those without an answer the connection is made anew.
const persistence = "hard,echo_interval=20"

// dialects are those of the kernel's own choice: 3.1.1 down to 2.1. SMB 1 is
// never among them.
const dialects = "default"

// mountSMB mounts a folder of an SMB share. Who is asked for no user comes as
// a guest: as the user guest, then as nobody, as servers differ in what they
// take for one.
func mountSMB(at server, l remote.Location, cred remote.Credentials) (*os.File, error) {
	if l.User != "" && !cred.Guest {
		root, err := smbAttempt(at, l, option{"username", l.User}, option{"password", cred.Password.Reveal()}).create()
		return root, smbError(l, cred, err)
	}
	root, err := smbAttempt(at, l, option{"username", "guest"}, option{"password", ""}).create()
	if errors.Is(err, unix.EACCES) {
		if root, nobody := smbAttempt(at, l, option{"sec", "none"}).create(); nobody == nil {
			return root, nil
		}
	}
	return root, smbError(l, cred, err)
}

// smbAttempt is the mount with these credentials.
func smbAttempt(at server, l remote.Location, who ...option) attempt {
	a := attempt{driver: "cifs", source: "//" + l.Host + l.Path, options: append(flags(persistence),
		option{"vers", dialects}, option{"ip", at.addr.String()}, option{"iocharset", "utf8"})}
	if l.Port != 0 {
		a.options = append(a.options, option{"port", strconv.Itoa(l.Port)})
	}
	if l.Domain != "" {
		a.options = append(a.options, option{"domain", l.Domain})
	}
	return attempt{driver: a.driver, source: a.source, options: append(a.options, who...)}
}

// smbError says in words what the kernel's number means for SMB.
func smbError(l remote.Location, cred remote.Credentials, err error) error {
	if err == nil {
		return nil
	}
	if e := (*remote.Error)(nil); errors.As(err, &e) {
		return err
	}
	e := &remote.Error{Reason: remote.Broken, What: l.String() + " cannot be mounted", Err: err, Next: "Look at the server's own log."}
	switch {
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM), errors.Is(err, unix.ENOKEY):
		e.Reason, e.What, e.Next = remote.Denied, fmt.Sprintf("%s does not let %s in", l.Host, who(l, cred)), "Correct user, domain and password, and let the user use the share."
	case errors.Is(err, unix.EKEYEXPIRED), errors.Is(err, unix.EKEYREVOKED):
		e.Reason, e.What, e.Next = remote.Denied, fmt.Sprintf("the account of %s is closed or its password has expired", who(l, cred)), "Set a new password on the server, or name another user."
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ENXIO):
		e.Reason, e.What, e.Next = remote.NoFolder, fmt.Sprintf("%s has no share or folder %s", l.Host, l.Path), "Correct the name: the share comes first, then the folder in it."
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EPROTONOSUPPORT):
		e.Reason, e.What, e.Next = remote.Refused, l.Host+" speaks none of the SMB versions 2.1 to 3.1.1", "Allow a newer version on the server: SMB 1 is never used here."
	default:
		return kernelError(l, e, err)
	}
	e.Err = nil
	return e
}

// who is the user in words.
func who(l remote.Location, cred remote.Credentials) string {
	switch {
	case l.User == "" || cred.Guest:
		return "guests"
	case l.Domain != "":
		return l.Domain + `\` + l.User
	}
	return l.User
}
