package acceptance

import (
	"fmt"
	"slices"
	"strings"

	"doppel.live/internal/store/storetest/sshd"
)

// step is one move of a tour through the menu: something is pressed, a page
// comes, and a picture of it is kept.
type step struct {
	do   string // the item whose key is pressed, or, behind a "=", what is typed; "" is nothing
	see  string // then stands on the page; "" does not matter
	keep string // the name of its picture; "" is none

	act  func(*pages) // in place of all these
	more []string     // the names of the pictures that act keeps
}

const (
	mainTitle = "What would you like to do?"
	enter     = "=\r"
	goBack    = "=" + back
)

// home goes back to the main page.
var home = step{act: (*pages).home}

// work keeps the page of a job that goes on and its question whether to stop,
// and answers that.
func work(name, answer string) step {
	return step{act: func(p *pages) { p.work(name, answer) }, more: []string{name + "-work", name + "-stop"}}
}

// tour shows every page of the menu. The machine has the sample system on
// /dev/vda, a disk for images at /dev/vdb1, and an empty disk, /dev/sda. The
// SSH server keeps images in a folder of the host's.
func tour(server *sshd.Server, folder string) []step {
	return slices.Concat([]step{
		{see: mainTitle, keep: "main"},
		{do: "=?", see: "Help: ", keep: "help"},
		{do: enter, see: mainTitle},
	}, forms(), login(server, folder), saving(), rescuing(), restoring(), cloning(), imaging(), machinery(), expert(), sticking(), unattended())
}

// forms are those of each kind of server, and a network that is down.
func forms() []step {
	return []step{
		{do: "Choose where images are", see: "Where are the images?", keep: "places"},
		{do: "NFS server", see: "Images on an NFS server", keep: "place-nfs"},
		{do: "Version", see: "1 +either", keep: "place-version"},
		{do: goBack, see: "Which folder, of which server?"},
		{do: goBack, see: "Where are the images?"},
		{do: "Windows or Samba", see: "Images on a Windows or Samba share", keep: "place-smb"},
		{do: goBack, see: "Where are the images?"},
		{do: "Web server", see: "Images on a web server", keep: "place-http"},
		{do: goBack, see: "Where are the images?"},
		{do: "Type a URL", see: "Images at a URL", keep: "place-url"},
		{do: goBack, see: "Where are the images?"},
		{do: "SSH server", see: "Images on an SSH server", keep: "place-sftp"},
		{do: "Password", see: "Enter alone means", keep: "place-password"},
		{do: "=wrong77\r", see: `\(typed\)`},
		{do: "Server", see: "Enter alone keeps", keep: "place-server"},
		{do: "=10.0.2.2:1\r", see: `10\.0\.2\.2:1 `},
		{do: "Use this place", see: "The network is not up", keep: "network-down"},
		{do: "Bring it up by itself", see: "Network: Done", keep: "network-done"},
		{do: enter, see: "This place cannot be used", keep: "place-refused"},
		{do: enter, see: "Images on an SSH server"},
	}
}

// login is how an SSH server gets to be the place for images, from its form
// on; then it has another key, and a disk takes its place.
func login(server *sshd.Server, folder string) []step {
	return []step{
		{do: "Server", see: "Enter alone keeps"},
		{do: fmt.Sprintf("=\x1510.0.2.2:%d\r", server.Port), see: "Images on an SSH server"},
		{do: "Folder", see: "Enter alone keeps"},
		{do: "=" + folder + "\r", see: folder},
		{do: "User", see: "Enter alone keeps"},
		{do: "=" + server.User + "\r", see: `User +` + server.User},
		{do: "Only test it", see: "Is this the right server?", keep: "place-key"},
		{do: "Yes, this is the right one", see: "does not let this user in", keep: "place-denied"},
		{do: "Type user and password again", see: "Enter alone keeps", keep: "place-user"},
		{do: enter, see: "Enter alone means", keep: "place-login"},
		{do: "=" + sshd.Password + "\r", see: "This place can be used", keep: "place-test"},
		{do: enter, see: "Images on an SSH server"},
		{do: "Use this place", see: "Images are kept on sftp", keep: "place-remote"},
		{do: enter, see: mainTitle},
		{act: func(*pages) {
			server.Kill()
			server.NewHostKey()
			server.Run()
		}},
		{do: "Choose where images are", see: "In use now: sftp", keep: "places-remote"},
		{do: "SSH server", see: "Images on an SSH server"},
		{do: "Password", see: "Enter alone means"},
		{do: "=" + sshd.Password + "\r", see: `\(typed\)`},
		{do: "Use this place", see: "WARNING: not the server it was", keep: "place-changed"},
		{do: enter, see: "Images on an SSH server"},
		{do: goBack, see: "Where are the images?"},
		{do: "/dev/vdb1", see: "Images are kept on /dev/vdb1", keep: "place-set"},
		home,
	}
}

func saving() []step {
	return []step{
		{do: "Check an image", see: "There is no image in this place", keep: "check-none"},
		home,
		{do: "Save a disk or partitions", see: "Save: which disk?", keep: "save-disk"},
		{do: "/dev/vda", see: "Only some partitions", keep: "save-what"},
		{do: "Only some partitions", see: "Mark what belongs", keep: "save-partitions"},
		{do: goBack, see: "Only some partitions"},
		{do: "The whole disk", see: "what shall the image be called", keep: "save-name"},
		{do: "=\x15golden\r", see: "Save: this is the plan", keep: "save-plan"},
		{do: "Start"},
		work("save", "Go on"),
		{see: "Saved: Done", keep: "save-done"},
		home,
		{do: "Check an image", see: "Check: which image?", keep: "check-image"},
		{do: "golden", see: "Checked: Done", keep: "check-done"},
		home,
	}
}

// rescuing is stopped, to see how it can go on.
func rescuing() []step {
	return []step{
		{do: "Rescue a failing disk", see: "Rescue: which disk fails?", keep: "rescue-disk"},
		{do: "unknown  /dev/vda", see: "Only some partitions"},
		{do: "The whole disk", see: "what shall the image be called"},
		{do: "=\x15rescued\r", see: "Rescue: this is the plan", keep: "rescue-plan"},
		{do: "Start"},
		work("rescue", "Stop the job"),
		{see: "You stopped the job", keep: "rescue-stopped"},
		home,
		{do: "Rescue a failing disk", see: "Rescue: which disk fails?"},
		{do: "unknown  /dev/vda", see: "Rescue: new, or go on?", keep: "rescue-again"},
		home,
	}
}

func restoring() []step {
	return []step{
		{do: "Restore an image", see: "Restore: which image?", keep: "restore-image"},
		{do: "golden", see: "The whole image", keep: "restore-what"},
		{do: "Only some partitions", see: "Mark the partitions to write", keep: "restore-partitions"},
		{do: goBack, see: "The whole image"},
		{do: "The whole image", see: "Restore: onto which disk?", keep: "restore-target"},
		{do: "/dev/vdb", see: "This cannot be done", keep: "restore-refused"},
		{do: goBack, see: "Restore: onto which disk?"},
		{do: "Several disks at once", see: "Space or 1-9", keep: "restore-several"},
		{do: goBack, see: "Several disks at once"},
		{do: "/dev/sda", see: "Restore: this is the plan", keep: "restore-plan"},
		{do: "Start", see: "are you sure?", keep: "restore-sure"},
		{do: "=wrong\r", see: "That is not what was asked for", keep: "restore-wrong"},
		{do: enter, see: "Restore: this is the plan"},
		{do: "Start", see: "last 4 characters"},
		{do: "=0003\r"},
		work("restore", "Go on"),
		{see: "Restored: Done", keep: "restore-done"},
		home,
	}
}

func cloning() []step {
	return []step{
		{do: "Clone a disk", see: "Clone: which disk shall be copied?", keep: "clone-disk"},
		{do: "/dev/vda", see: "Clone: onto which disk?", keep: "clone-target"},
		{do: "/dev/sda", see: "Clone: this is the plan", keep: "clone-plan"},
		home,
	}
}

func imaging() []step {
	return []step{
		{do: "Rename, remove or convert", see: "Images: which one?", keep: "images"},
		{do: "golden", see: "Image golden", keep: "image"},
		{do: "Rename it", see: "be called?", keep: "image-rename"},
		{do: "=\x15silver\r", see: "Done", keep: "image-renamed"},
		{do: enter, see: "Images: which one?"},
		{do: "silver", see: "Image silver"},
		{do: "Remove it", see: "Remove silver?", keep: "image-remove"},
		home,
	}
}

// machinery is the network, the disks and the ends.
func machinery() []step {
	return []step{
		{do: "Network", see: "Choose a card", keep: "network"},
		{do: "=1", see: "Network card", keep: "network-card"},
		{do: "Give it a fixed address", see: "A fixed address", keep: "network-address"},
		home,
		{do: "Disks and their health", see: "Choose one to see more", keep: "disks"},
		{do: "/dev/vda", see: "Disk /dev/vda", keep: "disk"},
		home,
		{do: "Restart", see: "Restart the machine?", keep: "restart"},
		home,
		{do: "Power off", see: "Power off the machine?", keep: "power-off"},
		home,
	}
}

// sticking writes a stick with an image on it.
func sticking() []step {
	return []step{
		{do: "Make a Doppel stick", see: "Stick: which disk", keep: "stick-disk"},
		{do: "/dev/sda", see: "Stick: with images?", keep: "stick-what"},
		{do: "Copy images", see: "Stick: which images"},
		{do: "silver", see: "Stick: which images", keep: "stick-images"},
		{do: enter, see: "Stick: this is the plan", keep: "stick-plan"},
		{do: "Start", see: "last 4 characters", keep: "stick-sure"},
		{do: "=0003\r"},
		work("stick", "Go on"),
		{see: "Stick: Done", keep: "stick-done"},
		home,
	}
}

// expert is the mode with the options of each job.
func expert() []step {
	return []step{
		{do: "Expert mode", see: "Expert mode: on", keep: "expert-main"},
		{do: "Save a disk or partitions", see: "Save: which disk?"},
		{do: "/dev/vda", see: "The whole disk"},
		{do: "The whole disk", see: "what shall the image be called"},
		{do: "=\x15golden\r", see: "Options of save", keep: "expert-save"},
		{do: "--compress", see: "How hard to compress", keep: "expert-choice"},
		{do: "max", see: "--compress max", keep: "expert-line"},
		home,
		{do: "Rescue a failing disk", see: "Rescue: which disk fails?"},
		{do: "unknown  /dev/vda", see: "Begin a new rescue"},
		{do: "Begin a new rescue", see: "The whole disk"},
		{do: "The whole disk", see: "what shall the image be called"},
		{do: "=\x15golden\r", see: "Options of save", keep: "expert-rescue"},
		home,
		{do: "Restore an image", see: "Restore: which image?"},
		{do: "silver", see: "The whole image"},
		{do: "The whole image", see: "Restore: onto which disk?"},
		{do: "/dev/sda", see: "Options of restore", keep: "expert-restore"},
		home,
		{do: "Clone a disk", see: "Clone: which disk shall be copied?"},
		{do: "/dev/vda", see: "Clone: onto which disk?"},
		{do: "/dev/sda", see: "Options of clone", keep: "expert-clone"},
		home,
		{do: "Check an image", see: "Check: which image?"},
		{do: "silver", see: "Options of verify", keep: "expert-verify"},
		home,
		{do: "Rename, remove or convert", see: "Images: which one?"},
		{do: "silver", see: "Image silver"},
		{do: "Make a raw disk file", see: "Options of convert", keep: "expert-convert"},
		home,
		{do: "Expert mode", see: "Expert mode: off"},
	}
}

// unattended is the command line, and a job in it that nobody attends.
func unattended() []step {
	return []step{
		{do: "Shell", see: `doppel:.*#`, keep: "shell"},
		{do: "=menu --run images --then none\r"},
		{act: func(p *pages) { p.glimpse("unattended", "It goes on by itself in") }, more: []string{"unattended"}},
		{do: "=x", see: "Enter: on"},
		{do: enter, see: `doppel:.*#`},
		{do: "=exit\r", see: mainTitle},
	}
}

// kept are the names of the pictures of a tour, in its order.
func kept(steps []step) (names []string) {
	for _, s := range steps {
		if s.keep != "" {
			names = append(names, s.keep)
		}
		names = append(names, s.more...)
	}
	return names
}

// take makes a step.
func (p *pages) take(s step) {
	p.t.Helper()
	if s.act != nil {
		s.act(p)
		return
	}
	if keys, typed := strings.CutPrefix(s.do, "="); typed {
		p.press(keys)
	} else if s.do != "" {
		p.pick(s.do)
	}
	if s.see != "" {
		if text := p.until(s.see); s.keep != "" {
			p.keep(s.keep, text)
		}
	}
}
