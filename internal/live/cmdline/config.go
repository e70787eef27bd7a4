package cmdline

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	"doppel.live/internal/store/remote"
)

// What can happen after an unattended job.
const (
	ThenPowerOff = "poweroff"
	ThenReboot   = "reboot"
	ThenShell    = "shell"
	ThenMenu     = "menu"
)

// Config is what the command line asks of the live system. The zero value is
// an attended start: the menu, nothing mounted, no network.
type Config struct {
	Run    []string // arguments of doppel; none: nobody asked for a job
	Job    string   // a job file, by reference, instead of Run; "" = none
	Images string   // a place as the command place takes it, or a URL without a password; "" = none
	// Credentials names the file with user and password for Images; "" = none.
	Credentials string
	// Password stood in the URL of Images, where everybody reads it.
	Password remote.Secret
	// Secrets are all the texts of the line that must be shown nowhere.
	Secrets  []remote.Secret
	Prerun   [][]string // commands before the job, in order
	Postrun  [][]string // commands after the job, in order
	Then     string     // one of the Then constants; "" = not said
	Consoles []string   // where the menu runs (tty1, ttyS0), the first for jobs; none = all the kernel's
	Keymap   string     // de, us, …; "" = the kernel's own
	IP       []string   // every ip=, in the kernel's syntax or Clonezilla's
	Medium   string     // what GRUB calls the medium that it started from: hd0, cd0; "" = another loader
	Links    []Param    // bond=, vlan=, ifname=, nameserver=, rd.route=, BOOTIF=
	NTP      []string   // servers of time
	Hostname string     // "" = doppel, or what DHCP is told
	SSH      []string   // public keys or references to files of them; none: nobody comes in by ssh
	Preload  []string   // archives of the administrator's to unpack below /opt, by reference
	ToRAM    bool       // leave the boot medium alone, so that it can be taken out
	Stop     bool       // say that init was reached and stop: for measuring
	Notes    []Note     // what was not understood, in the order of the line
}

// Note is a parameter that was meant for us and cannot be followed.
type Note struct {
	Param string
	Why   string
}

func (n Note) String() string { return n.Param + ": " + n.Why }

// Parse reads a whole command line. It never fails: what it cannot follow
// stands in Notes. Where a doppel.* parameter and its equal of Clonezilla are
// both given, doppel.* holds.
func Parse(line string) Config {
	var p parser
	for _, param := range Split(line) {
		p.take(param)
	}
	return p.finish()
}

type parser struct {
	Config
	hooks map[string][]hook // "prerun", "postrun": Clonezilla's, numbered
	ocs   ocs
}

type hook struct {
	number int
	argv   []string
}

func (p *parser) note(param, format string, args ...any) {
	p.Notes = append(p.Notes, Note{param, fmt.Sprintf(format, args...)})
}

func (p *parser) take(x Param) {
	p.Secrets = append(p.Secrets, secretsIn(x.Value)...)
	switch {
	case strings.HasPrefix(x.Key, "doppel."):
		p.doppel(strings.TrimPrefix(x.Key, "doppel."), x)
	case x.Key == "toram":
		p.ToRAM = true
	case x.Key == "ip":
		p.IP = append(p.IP, x.Value)
	case slices.Contains([]string{"bond", "vlan", "ifname", "nameserver", "rd.route", "BOOTIF"}, x.Key):
		p.Links = append(p.Links, x)
	case x.Key == "ethdevice", x.Key == "live-netdev":
		p.note(x.Key, "name the card in ip=, as ip=%s:dhcp", strings.Split(x.Value, ",")[0])
	case x.Key == "hostname", x.Key == "live-config.hostname":
		p.hostname(x)
	case x.Key == "keyboard-layouts":
		p.ocs.keymap, _, _ = strings.Cut(x.Value, ",")
	case x.Key == "locales":
		if !strings.HasPrefix(x.Value, "en") && x.Value != "" && x.Value != "C" && x.Value != "C.UTF-8" {
			p.note(x.Key, "the menu speaks English only")
		}
	case strings.HasPrefix(x.Key, "ocs_"), strings.HasPrefix(x.Key, "ocs-"):
		p.clonezilla(x)
	}
}

// doppel reads one of our own parameters, named without its prefix.
func (p *parser) doppel(name string, x Param) {
	switch name {
	case "run":
		if p.Run = Fields(x.Value); len(p.Run) > 0 && p.Run[0] == "doppel" {
			p.Run = p.Run[1:]
		}
	case "job":
		p.Job = x.Value
	case "ssh":
		if x.Value != "" {
			p.SSH = append(p.SSH, x.Value)
		}
	case "ntp":
		p.NTP = append(p.NTP, names(x.Value)...)
	case "images":
		p.Images, p.Password = p.place(x)
	case "credentials":
		p.Credentials = x.Value
	case "prerun":
		p.Prerun = appendArgv(p.Prerun, x.Value)
	case "postrun":
		p.Postrun = appendArgv(p.Postrun, x.Value)
	case "then":
		p.then(x)
	case "console":
		p.Consoles = append(p.Consoles, names(x.Value)...)
	case "keymap":
		p.Keymap = x.Value
	case "medium":
		p.Medium = x.Value
	case "toram":
		p.ToRAM = x.Value != "no"
	case "init":
		if p.Stop = x.Value == "stop"; !p.Stop {
			p.note(x.Key, "knows only the value stop, not %q", x.Value)
		}
	default:
		p.note(x.Key, "no such parameter in this version")
	}
}

func (p *parser) then(x Param) {
	switch x.Value {
	case ThenPowerOff, ThenReboot, ThenShell, ThenMenu:
		p.Then = x.Value
	default:
		p.note(x.Key, "%q is none of poweroff, reboot, shell, menu", x.Value)
	}
}

// hostname takes a name for the machine (RFC 1123).
func (p *parser) hostname(x Param) {
	bad := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '.'
	}
	if x.Value == "" || len(x.Value) > 64 || strings.ContainsFunc(x.Value, bad) {
		p.note(x.Key, "%q is no name for a machine", x.Value)
		return
	}
	p.Hostname = x.Value
}

func appendArgv(list [][]string, text string) [][]string {
	if argv := Fields(text); len(argv) > 0 {
		return append(list, argv)
	}
	return list
}

func names(list string) []string {
	var out []string
	for _, n := range strings.Split(list, ",") {
		if n = strings.TrimPrefix(strings.TrimSpace(n), "/dev/"); n != "" {
			out = append(out, n)
		}
	}
	return out
}

// finish fills from Clonezilla's parameters what ours left open.
func (p *parser) finish() Config {
	p.Prerun = append(p.Prerun, p.numbered("prerun")...)
	p.Postrun = append(p.Postrun, p.numbered("postrun")...)
	if len(p.Run) == 0 && p.Job == "" {
		p.Run = p.ocs.command()
	}
	if p.Job != "" && len(p.Run) > 0 {
		p.note("doppel.run", "doppel.job says what is done: this is not")
		p.Run = nil
	}
	if p.Images == "" {
		p.Images, p.Password = p.ocs.images, p.ocs.password
	}
	p.Then = first(p.Then, p.ocs.then)
	if p.Keymap = first(p.Keymap, p.ocs.keymap); strings.EqualFold(p.Keymap, "none") {
		p.Keymap = ""
	}
	return p.Config
}

func (p *parser) numbered(kind string) [][]string {
	list := p.hooks[kind]
	sort.SliceStable(list, func(i, j int) bool { return list[i].number < list[j].number })
	var out [][]string
	for _, h := range list {
		out = append(out, h.argv)
	}
	return out
}

// addHook keeps ocs_prerun, ocs_prerun1, … with the number behind the name;
// none counts as 0. It tells whether the rest of the name was a number.
func (p *parser) addHook(kind, number, value string) bool {
	n, err := strconv.Atoi(number)
	if number != "" && (err != nil || n < 0) {
		return false
	}
	if p.hooks == nil {
		p.hooks = map[string][]hook{}
	}
	argv := Fields(value)
	if strings.ContainsAny(value, "|&;<>$`*") {
		argv = []string{"sh", "-c", value} // Clonezilla gives it to a shell
	}
	if len(argv) > 0 {
		p.hooks[kind] = append(p.hooks[kind], hook{n, argv})
	}
	return true
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
