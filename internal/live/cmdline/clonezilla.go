package cmdline

import (
	"path"
	"slices"
	"strings"

	"doppel.live/internal/store/remote"
)

// ocs is what Clonezilla's own parameters asked for. They are described in its
// "Preseed" documents; only the words of those documents are used here.
type ocs struct {
	run      []string // arguments of doppel
	batch    bool     // no questions
	images   string
	password remote.Secret
	then     string
	keymap   string
}

// command is the job, with --yes where Clonezilla was told to ask nothing.
func (o ocs) command() []string {
	if len(o.run) > 0 && o.batch && !slices.Contains(o.run, "--yes") {
		return append(o.run, "--yes")
	}
	return o.run
}

// clonezilla reads one ocs_ parameter.
func (p *parser) clonezilla(x Param) {
	if n, ok := strings.CutPrefix(x.Key, "ocs_prerun"); ok && p.addHook("prerun", n, x.Value) {
		return
	}
	if n, ok := strings.CutPrefix(x.Key, "ocs_postrun"); ok && p.addHook("postrun", n, x.Value) {
		return
	}
	switch x.Key {
	case "ocs_live_run":
		p.liveRun(x)
	case "ocs_live_extra_param":
		p.ocsOptions(Fields(x.Value))
	case "ocs_live_batch":
		p.ocs.batch = p.ocs.batch || x.Value == "yes"
	case "ocs_repository":
		p.repository(x)
	case "ocs_live_keymap":
		p.ocs.keymap = keymapOf(x.Value)
	case "ocs_lang":
		p.take(Param{Key: "locales", Value: x.Value, Set: true})
	default:
		p.note(x.Key, "this parameter of Clonezilla has no equal here")
	}
}

// keymapOf turns /usr/share/keymaps/…/fr-latin9.kmap.gz or NONE into a name.
func keymapOf(value string) string {
	name, _, _ := strings.Cut(path.Base(value), ".")
	return name
}

// ocsOptions reads those options of ocs-sr that change what happens around the
// job. -p says what comes after it, -batch and -b that nobody is asked; the
// rest tunes how Clonezilla works.
func (p *parser) ocsOptions(args []string) {
	for i, a := range args {
		switch a {
		case "-batch", "--batch", "-b":
			p.ocs.batch = true
		case "-p", "--postaction":
			if i+1 < len(args) {
				p.ocs.then = thenOf(args[i+1])
			}
		}
	}
}

func thenOf(action string) string {
	switch action {
	case "poweroff", "reboot":
		return action
	case "cmd":
		return ThenShell
	}
	return ThenMenu // choose, true and what it may learn later
}

// liveRun translates the basic forms of ocs_live_run, such as
//
//	ocs-sr -g auto -e1 auto -e2 -batch -r -j2 -p poweroff restoredisk lab sda
func (p *parser) liveRun(x Param) {
	args := Fields(x.Value)
	for len(args) > 0 && (args[0] == "sudo" || args[0] == "bash") {
		args = args[1:]
	}
	if len(args) == 0 || (path.Base(args[0]) == "ocs-live-general") {
		return // Clonezilla's own menu; ours comes anyway
	}
	if name := path.Base(args[0]); name != "ocs-sr" {
		p.note(x.Key, "the command %s has no equal here", name)
		return
	}
	at := slices.IndexFunc(args, func(a string) bool { return verb(a) != nil })
	if at < 0 {
		p.note(x.Key, "none of savedisk, saveparts, restoredisk, restoreparts in it")
		return
	}
	p.ocsOptions(args[:at])
	var operands []string
	for _, a := range args[at+1:] {
		operands = append(operands, strings.Fields(a)...)
	}
	if len(operands) < 2 || slices.Contains(operands, "ask_user") || slices.Contains(operands, "autoname") {
		p.note(x.Key, "it leaves open what the image is called or which disk is meant: choose in the menu")
		return
	}
	run, why := verb(args[at])(operands[0], operands[1:])
	if why != "" {
		p.note(x.Key, "%s", why)
		return
	}
	p.ocs.run = run
}

// translation gives doppel's arguments for an image and disks or partitions,
// or says why there are none.
type translation func(image string, devices []string) (run []string, why string)

// verb gives the translation of a word of ocs-sr, or nil.
func verb(word string) translation {
	switch word {
	case "savedisk", "saveparts":
		return save
	case "restoredisk":
		return restoreDisk
	case "restoreparts":
		return restoreParts
	}
	return nil
}

func save(image string, devices []string) ([]string, string) {
	return slices.Concat([]string{"save"}, devices, []string{image}), ""
}

func restoreDisk(image string, devices []string) ([]string, string) {
	if len(devices) > 1 {
		return nil, "one job restores one disk: start one for each"
	}
	return []string{"restore", image, devices[0]}, ""
}

func restoreParts(image string, parts []string) ([]string, string) {
	disk := diskOf(parts[0])
	for _, part := range parts {
		if diskOf(part) != disk {
			return nil, "one job restores partitions of one disk: start one for each disk"
		}
	}
	return []string{"restore", image, disk, "--only", strings.Join(parts, ",")}, ""
}

// diskOf gives the disk of a partition's kernel name: sda1 → sda,
// nvme0n1p2 → nvme0n1.
func diskOf(part string) string {
	part = path.Base(part)
	disk := strings.TrimRight(part, "0123456789")
	if disk == part || disk == "" {
		return part
	}
	if whole := strings.TrimSuffix(disk, "p"); whole != disk && whole != "" && digit(whole[len(whole)-1]) {
		return whole
	}
	return disk
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

// repository translates ocs_repository. Clonezilla writes local places as
// dev:///sdb1, dev:///dev/sdb1 or dev:///LABEL=x.
func (p *parser) repository(x Param) {
	scheme, rest, ok := strings.Cut(x.Value, ":")
	switch {
	case !ok:
		p.note(x.Key, "no URL such as dev:///sdb1 or nfs://server/folder")
	case scheme == "dev":
		p.ocs.images = localPlace(strings.TrimPrefix(rest, "//"))
	default:
		p.ocs.images, p.ocs.password = p.place(x)
		if _, _, err := remote.Parse(p.ocs.images); err != nil {
			p.note(x.Key, "%v", err)
			p.ocs.images = ""
		}
	}
}

func localPlace(p string) string {
	name := strings.TrimLeft(p, "/")
	if strings.Contains(name, "=") || name == "" {
		return name
	}
	return "/dev/" + strings.TrimPrefix(name, "dev/")
}
