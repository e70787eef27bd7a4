package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"doppel.live/internal/blockdev"
	"doppel.live/internal/inventory"
	livePlace "doppel.live/internal/live/place"
	"doppel.live/internal/plan"
	"doppel.live/internal/progress"
	"doppel.live/internal/store"
	"doppel.live/internal/store/dir"
	"doppel.live/internal/store/open"
	"doppel.live/internal/store/remote"
	"doppel.live/internal/store/sftp"
)

const placesHelp = `Places for images, as --images and $DOPPEL_IMAGES name them:

  /mnt/backup                              a folder
  LABEL=IMAGES, UUID=..., /dev/sdb1        a file system of this machine; it is
                                           mounted for the time of the job
  nfs://SERVER[:PORT]/FOLDER               NFS, of any version; ?version=3 or 4
  smb://[DOMAIN;][USER@]SERVER/SHARE/FOLDER
  sftp://[USER@]SERVER[:PORT]/FOLDER       SSH; ?host_key=SHA256:... behind it
                                           names the server's key
  http://SERVER/FOLDER, https://...        to read only

IMAGE may be a name in the place, or a path or URL that ends with its name:
doppel restore sftp://anna@server/images/lab-pc sda. What is mounted (a file
system, NFS, SMB) needs root. In sftp:// a folder that begins with /~/ lies in
the home of the user.

Without --images it is $DOPPEL_IMAGES, else the place that was chosen in the
live system, else /images.

Passwords and keys are typed when they are asked for, or come from a file:
--credentials FILE, in JSON, of which every field may be left out:

  {"user": "anna", "password": "...", "domain": "LAB", "guest": true,
   "key": "-----BEGIN OPENSSH PRIVATE KEY-----\n...", "passphrase": "...",
   "host_key": "SHA256:..."}

--credentials - reads it from standard input. A password in a URL is refused:
others see the command line. For sftp a running ssh-agent is asked, too.

The key of an SSH server must be known: by host_key, from ~/.ssh/known_hosts, or
because somebody has agreed to it once; on a terminal you are shown its
fingerprint and asked. For https, host_key is the fingerprint of a certificate
that nobody has signed. A connection that is lost is tried again for two
minutes, and the job goes on where it was.
`

// placeFlags are the options that say where images are.
type placeFlags struct{ spec, credentials string }

func imagesFlag(fs *flag.FlagSet) *placeFlags {
	f := &placeFlags{}
	fs.StringVar(&f.spec, "images", "", "")
	fs.StringVar(&f.credentials, "credentials", "", "")
	return f
}

// place is where images are, opened.
type place struct {
	store.Store
	name    string   // as people name it
	folder  string   // path of a folder of the file tree; "" for all else
	device  string   // of a file system that was mounted for the job
	release []func() // last first
}

// Close ends the use of the place.
func (p *place) Close() {
	for i := len(p.release) - 1; i >= 0; i-- {
		p.release[i]()
	}
}

// join names something in the place.
func (p *place) join(elem ...string) string {
	return strings.TrimSuffix(p.name, "/") + "/" + path.Join(elem...)
}

// MaxFile is the most bytes that a file can have there; 0 where there is no
// limit that matters.
func (p *place) MaxFile() int64 {
	if d, ok := p.Store.(*dir.Dir); ok {
		return d.MaxFile()
	}
	return 0
}

// Sweep implements store.Sweeper where the store does.
func (p *place) Sweep(folder string) error {
	if s, ok := p.Store.(store.Sweeper); ok {
		return s.Sweep(folder)
	}
	return nil
}

// behind gives the kernel names of the disks and partitions that the place
// lies on.
func (p *place) behind() ([]string, error) {
	switch {
	case p.folder != "":
		return blockdev.System{}.Behind(p.folder)
	case p.device != "":
		return blockdev.System{}.Under(p.device), nil
	}
	return nil, nil
}

// holds are the folders that must not lie on a target. What was mounted for
// the job needs no such care: the kernel keeps others from its disk.
func (p *place) holds(name string) []string {
	if p.folder == "" {
		return nil
	}
	return []string{filepath.Join(p.folder, name)}
}

// open opens the place.
func (f *placeFlags) open(ctx context.Context, c *console) (*place, error) {
	return f.openSpec(ctx, c, "")
}

// openImage opens the place of an image and gives its name there.
func (f *placeFlags) openImage(ctx context.Context, c *console, image string) (*place, string, error) {
	in, name := "", image
	switch {
	case remote.Is(image):
		l, err := parseURL(image)
		if err != nil {
			return nil, "", err
		}
		name, l.Path = path.Base(l.Path), path.Dir(l.Path)
		in = l.String()
	case strings.Contains(image, "/"):
		in, name = plan.Name(image, "")
	}
	p, err := f.openSpec(ctx, c, in)
	return p, name, err
}

// parseURL reads the URL of a place from a command line or the environment,
// where no secret must be.
func parseURL(spec string) (remote.Location, error) {
	l, secret, err := remote.Parse(spec)
	if err == nil && !secret.Empty() {
		err = &remote.Error{Reason: remote.BadName, What: "there is a password in the URL, where others can see it", Next: "Leave it out: it is asked for, or taken from --credentials FILE."}
	}
	return l, err
}

// openSpec opens the place that spec names, or the one of the options if it
// is "".
func (f *placeFlags) openSpec(ctx context.Context, c *console, spec string) (*place, error) {
	chosen, cred, err := record(livePlace.RecordFile)
	if err != nil {
		return nil, err
	}
	spec = cmp.Or(spec, f.spec, os.Getenv("DOPPEL_IMAGES"), chosen, "/images")
	if f.credentials != "" {
		if cred, err = readCredentials(c.in, f.credentials); err != nil {
			return nil, err
		}
	} else if spec != chosen {
		cred = remote.Credentials{}
	}
	switch {
	case remote.Is(spec):
		l, err := parseURL(spec)
		if err != nil {
			return nil, err
		}
		return c.openURL(ctx, l, cred)
	case strings.HasPrefix(spec, "LABEL="), strings.HasPrefix(spec, "UUID="), isDevice(spec):
		return openFileSystem(ctx, spec)
	}
	d, err := dir.Open(spec)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no folder for images at %s: choose one with --images", spec)
	}
	if err != nil {
		return nil, err
	}
	return &place{Store: d, name: spec, folder: spec, release: []func(){func() { d.Close() }}}, nil
}

func isDevice(spec string) bool {
	st, err := os.Stat(spec)
	return err == nil && st.Mode()&fs.ModeDevice != 0
}

// record reads which place was chosen in the live system, if that is one that
// is not mounted; "" is none.
func record(file string) (spec string, cred remote.Credentials, err error) {
	r, err := livePlace.ReadRecord(file)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return "", cred, nil
	}
	return r.URL, r.Credentials, err
}

// readCredentials reads a credentials file; "-" is in.
func readCredentials(in io.Reader, name string) (remote.Credentials, error) {
	if name == "-" {
		return remote.ReadCredentials(in)
	}
	f, err := os.Open(name)
	if err != nil {
		return remote.Credentials{}, err
	}
	defer f.Close()
	return remote.ReadCredentials(f)
}

// openFileSystem mounts a file system of this machine for the job.
func openFileSystem(ctx context.Context, spec string) (*place, error) {
	lookup := spec
	if key, value, ok := strings.Cut(spec, "="); ok {
		lookup = strings.ToLower(key) + ":" + value
	}
	device, err := inventory.Lookup(lookup)
	if err != nil {
		return nil, err
	}
	p, err := mounted(ctx, spec, spec, remote.Credentials{})
	if err == nil {
		p.device = filepath.Base(device)
	}
	return p, err
}

// mounted mounts a place for the job.
func mounted(ctx context.Context, name, spec string, cred remote.Credentials) (*place, error) {
	folder, release, err := livePlace.Mount(ctx, spec, cred)
	if err != nil {
		return nil, err
	}
	d, err := dir.Open(folder)
	if err != nil {
		_ = release()
		return nil, err
	}
	return &place{Store: d, name: name, release: []func(){func() { _ = release() }, func() { d.Close() }}}, nil
}

// openURL opens a place in the network, and asks for what is missing if
// somebody is there.
func (c *console) openURL(ctx context.Context, l remote.Location, cred remote.Credentials) (*place, error) {
	for try := 1; ; try++ {
		p, err := c.tryURL(ctx, l, cred)
		var e *remote.Error
		if err == nil || !errors.As(err, &e) || !c.asks || c.json || try > 3 {
			return p, err
		}
		switch {
		case e.Reason == remote.Denied && l.Scheme != remote.NFS && l.Scheme != remote.HTTP:
			if cred.Password, err = c.askPassword(ctx, l, cred, e); err != nil || cred.Password.Empty() {
				return nil, cmp.Or(err, error(e))
			}
		case e.Reason == remote.NewKey && l.Scheme == remote.HTTPS:
			if !c.agreesTo(ctx, fmt.Sprintf("%s shows a certificate that nobody known has signed: %s", l.Host, e.Fingerprint)) {
				return nil, err
			}
			cred.HostKey = e.Fingerprint
		default:
			return nil, err
		}
	}
}

func (c *console) tryURL(ctx context.Context, l remote.Location, cred remote.Credentials) (*place, error) {
	if l.Scheme == remote.NFS || l.Scheme == remote.SMB {
		return mounted(ctx, l.String(), l.String(), cred)
	}
	o := open.Default()
	o.Tell = c.tell
	if c.asks && !c.json {
		o.Keys.Consent = func(k sftp.Key) bool {
			return c.agreesTo(ctx, fmt.Sprintf("Nobody has agreed to the key of %s yet: %s %s", k.Server, k.Kind, k.Fingerprint))
		}
	}
	s, err := o.Store(ctx, l, cred)
	if err != nil {
		return nil, err
	}
	p := &place{Store: s, name: l.String()}
	if closer, ok := s.(io.Closer); ok {
		p.release = append(p.release, func() { closer.Close() })
	}
	return p, nil
}

// tell passes on trouble with the server of a place. It comes from goroutines
// of the store.
func (c *console) tell(text string) {
	if c.job == nil && c.json { // the answer is one document
		fmt.Fprintln(c.err, "Warning: "+text)
		return
	}
	c.report(progress.Event{Kind: progress.Warning, Text: text})
}

// agreesTo asks whether a key of a server is the right one.
func (c *console) agreesTo(ctx context.Context, text string) bool {
	answer, err := c.ask(ctx, printable(text)+"\nCompare it with what is known at the server. Is it right? (yes/no) ")
	return err == nil && answer == "yes"
}

// askPassword asks for a password without showing it.
func (c *console) askPassword(ctx context.Context, l remote.Location, cred remote.Credentials, why error) (remote.Secret, error) {
	c.line(c.err, why.Error())
	who := cmp.Or(cred.User, l.User)
	if who != "" {
		who += "@"
	}
	return c.askHidden(ctx, fmt.Sprintf("Password of %s%s: ", who, l.Host))
}
