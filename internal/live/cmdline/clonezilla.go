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
	options  []string // of doppel, by options of ocs-sr
	refused  bool     // an option asked for what must not be left out silently
}

// command is the job, with --yes where Clonezilla was told to ask nothing.
func (o ocs) command() []string {
	if len(o.run) == 0 || o.refused {
		return nil
	}
	run := o.run
	for _, option := range o.options {
		name, _, _ := strings.Cut(option, "=")
		if slices.Contains(optionsOf(run[0]), name) && !slices.Contains(run, option) {
			run = append(run, option)
		}
	}
	if o.batch && !slices.Contains(run, "--yes") {
		run = append(run, "--yes")
	}
	return run
}

// optionsOf are the options of a command of doppel that ocs-sr has equals of.
func optionsOf(command string) []string {
	if command == "save" {
		return []string{"--compress", "--split", "--rescue"}
	}
	return []string{"--keep-table"}
}

// clonezilla reads one ocs_ parameter.
func (p *parser) clonezilla(x Param) {
	if n, ok := strings.CutPrefix(x.Key, "ocs_prerun"); ok && p.addHook("prerun", n, x.Value) {
		return
	}
	if n, ok := strings.CutPrefix(x.Key, "ocs_postrun"); ok && p.addHook("postrun", n, x.Value) {
		return
	}
	if n, ok := strings.CutPrefix(x.Key, "ocs_preload"); ok && strings.Trim(n, "0123456789") == "" {
		p.preload(x)
		return
	}
	switch x.Key {
	case "ocs_live_run":
		p.liveRun(x)
	case "ocs_live_extra_param":
		p.ocsOptions(x.Key, Fields(x.Value))
	case "ocs_live_batch":
		p.ocs.batch = p.ocs.batch || x.Value == "yes"
	case "ocs_repository":
		p.repository(x)
	case "ocs_live_keymap":
		p.ocs.keymap = keymapOf(x.Value)
	case "ocs_live_run_tty":
		p.Consoles = append(p.Consoles, names(x.Value)...)
	case "ocs_daemonon":
		p.daemons(x)
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

// preload takes an archive of the administrator's.
func (p *parser) preload(x Param) {
	name := strings.TrimPrefix(x.Value, "file://")
	scheme, _, remote := strings.Cut(name, "://")
	switch {
	case name == "":
	case remote && scheme != "http" && scheme != "https":
		p.note(x.Key, "%s: is no way to get a file here: http, https or a path", scheme)
	default:
		p.Preload = append(p.Preload, name)
	}
}

// daemons answers to what Clonezilla starts with a password that everybody knows.
func (p *parser) daemons(x Param) {
	for name := range strings.FieldsSeq(strings.ReplaceAll(x.Value, ",", " ")) {
		if name == "ssh" && len(p.SSH) == 0 {
			p.note(x.Key, "ssh works here with keys only: give one by doppel.ssh=")
		} else if name != "ssh" {
			p.note(x.Key, "%s has no equal here", name)
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
	p.ocsOptions(x.Key, args[1:at])
	var operands []string
	for _, a := range args[at+1:] {
		operands = append(operands, strings.Fields(a)...)
	}
	if len(operands) < 2 || slices.ContainsFunc(operands, open) {
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

// open tells whether a word leaves open what is meant.
func open(operand string) bool {
	return slices.Contains([]string{"ask_user", "autoname", "autohostname", "autoproductname", "unused"}, operand)
}

// device translates how a disk is named: a kernel name, or SERIALNO=.
func device(name string) string {
	if number, ok := strings.CutPrefix(name, "SERIALNO="); ok {
		return "serial:" + number
	}
	return name
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
	run := []string{"save"}
	for _, d := range devices {
		run = append(run, device(d))
	}
	return append(run, image), ""
}

func restoreDisk(image string, devices []string) ([]string, string) {
	if len(devices) > 1 {
		return nil, "one job restores one disk: start one for each"
	}
	return []string{"restore", image, device(devices[0])}, ""
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
