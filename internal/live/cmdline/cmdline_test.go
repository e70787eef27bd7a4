package cmdline

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"doppel.live/internal/store/remote"
)

func TestSplit(t *testing.T) {
	for _, tt := range []struct {
		name, line string
		want       []Param
	}{
		{"empty", " \n", nil},
		{"flag and value", "quiet root=/dev/sda1", []Param{{"quiet", "", false}, {"root", "/dev/sda1", true}}},
		{"quoted value", `a="b c" d`, []Param{{"a", "b c", true}, {"d", "", false}}},
		{"quoted whole, as GRUB writes it", `"a=b c" d`, []Param{{"a", "b c", true}, {"d", "", false}}},
		{"empty value", `a= b=""`, []Param{{"a", "", true}, {"b", "", true}}},
		{"equals in value", `a="LABEL=x y"`, []Param{{"a", "LABEL=x y", true}}},
		{"open quote", `a="b c`, []Param{{"a", "b c", true}}},
		{"behind --", `a -- b`, []Param{{"a", "", false}, {"b", "", false}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Split(tt.line); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestFields(t *testing.T) {
	for text, want := range map[string][]string{
		"":                        nil,
		"  ":                      nil,
		"a  b":                    {"a", "b"},
		`sh -c 'a && b'`:          {"sh", "-c", "a && b"},
		`a\ b ''`:                 {"a b", ""},
		`"x y"z '"'`:              {"x yz", `"`},
		`'it'\''s'`:               {"it's"},
		`'a\b'`:                   {`a\b`},
		`$(reboot) ; * ~`:         {"$(reboot)", ";", "*", "~"},
		`restore 'lab pc' serial`: {"restore", "lab pc", "serial"},
	} {
		if got := Fields(text); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name, line string
		want       Config
	}{
		{"a plain start", "BOOT_IMAGE=/vmlinuz console=tty0 quiet rootfstype=ramfs", Config{}},
		{"unattended", `doppel.run="restore lab-pc serial:S3Z9 --yes" doppel.images=LABEL=IMAGES doppel.then=poweroff doppel.prerun="sh -c 'a b'" doppel.prerun=c doppel.postrun=d`,
			Config{Run: []string{"restore", "lab-pc", "serial:S3Z9", "--yes"}, Images: "LABEL=IMAGES", Then: ThenPowerOff,
				Prerun: [][]string{{"sh", "-c", "a b"}, {"c"}}, Postrun: [][]string{{"d"}}}},
		{"doppel named in run", `"doppel.run=doppel disks"`, Config{Run: []string{"disks"}}},
		{"console, keymap, ip", "doppel.console=/dev/ttyS1,tty1 doppel.keymap=de ip=dhcp ip=eth1:10.0.0.2:255.0.0.0",
			Config{Consoles: []string{"ttyS1", "tty1"}, Keymap: "de", IP: []string{"dhcp", "eth1:10.0.0.2:255.0.0.0"}}},
		{"stop", "doppel.init=stop", Config{Stop: true}},
		{"of the boot menu", "doppel.medium=hd0", Config{Medium: "hd0"}},
		{"to RAM", "doppel.toram=yes", Config{ToRAM: true}},
		{"to RAM as Clonezilla says it", "toram=live,syslinux,filesystem.squashfs", Config{ToRAM: true}},
		{"restoredisk", `ocs_live_run="ocs-sr -g auto -e1 auto -e2 -r -j2 -scr -p reboot restoredisk lab sda" ocs_live_batch="yes"`,
			Config{Run: []string{"restore", "lab", "sda", "--yes"}, Then: ThenReboot}},
		{"not batch", `ocs_live_run="ocs-sr -p true restoredisk lab sda" ocs_live_batch=no`, Config{Run: []string{"restore", "lab", "sda"}, Then: ThenMenu}},
		{"savedisk", `ocs_live_run="/usr/sbin/ocs-sr --batch -q2 -c -z1p -i 4096 -p poweroff savedisk lab sda sdb"`,
			Config{Run: []string{"save", "sda", "sdb", "lab", "--compress=gzip", "--split=4096M", "--yes"}, Then: ThenPowerOff}},
		{"keep the table, by serial number", `ocs_live_run="ocs-sr -batch -k -i 4096 -z1p restoredisk lab SERIALNO=S3Z9"`,
			Config{Run: []string{"restore", "lab", "serial:S3Z9", "--keep-table", "--yes"}}},
		{"not cut, not compressed, failing", `ocs_live_run="ocs-sr -i 0 -z0 -rescue savedisk lab sda"`,
			Config{Run: []string{"save", "sda", "lab", "--split=none", "--compress=none", "--rescue"}}},
		{"hooks for a shell", `ocs_prerun="a && b" ocs_postrun="c d"`, Config{Prerun: [][]string{{"sh", "-c", "a && b"}}, Postrun: [][]string{{"c", "d"}}}},
		{"job file", "doppel.job=boot:jobs/lab.json#sha256=aa doppel.then=menu", Config{Job: "boot:jobs/lab.json#sha256=aa", Then: ThenMenu}},
		{"job file before Clonezilla's", `doppel.job=/a.json ocs_live_run="ocs-sr restoredisk lab sda"`, Config{Job: "/a.json"}},
		{"ssh, time, name", `doppel.ssh="ssh-ed25519 AAAA x" doppel.ssh=boot:keys doppel.ntp=10.0.0.1,b hostname=lab-1`,
			Config{SSH: []string{"ssh-ed25519 AAAA x", "boot:keys"}, NTP: []string{"10.0.0.1", "b"}, Hostname: "lab-1"}},
		{"links", "bond=bond0:eth0,eth1:mode=802.3ad vlan=bond0.5:bond0 nameserver=1.1.1.1 ip=bond0.5:dhcp BOOTIF=01-52-54-00-12-34-56 ifname=a:52:54:00:12:34:56 rd.route=10.0.0.0/8:10.1.0.1",
			Config{IP: []string{"bond0.5:dhcp"}, Links: []Param{{"bond", "bond0:eth0,eth1:mode=802.3ad", true}, {"vlan", "bond0.5:bond0", true}, {"nameserver", "1.1.1.1", true},
				{"BOOTIF", "01-52-54-00-12-34-56", true}, {"ifname", "a:52:54:00:12:34:56", true}, {"rd.route", "10.0.0.0/8:10.1.0.1", true}}}},
		{"preload", "ocs_preload=http://a/b.tgz ocs_preload1=file:///opt/x", Config{Preload: []string{"http://a/b.tgz", "/opt/x"}}},
		{"its terminal, its silence", `ocs_live_run_tty=/dev/ttyS0 echo_ocs_repository=no`, Config{Consoles: []string{"ttyS0"}}},
		{"saveparts", `ocs_live_run="ocs-sr saveparts lab 'sda1 sda2'"`, Config{Run: []string{"save", "sda1", "sda2", "lab"}}},
		{"restoreparts", `ocs_live_run="ocs-sr restoreparts lab 'nvme0n1p1 nvme0n1p2'"`,
			Config{Run: []string{"restore", "lab", "nvme0n1", "--only", "nvme0n1p1,nvme0n1p2"}}},
		{"its menu", `ocs_live_run="ocs-live-general"`, Config{}},
		{"extra parameters", `ocs_live_extra_param="-batch -p poweroff" ocs_live_run="ocs-sr restoredisk lab sda"`,
			Config{Run: []string{"restore", "lab", "sda", "--yes"}, Then: ThenPowerOff}},
		{"hooks by number", `ocs_prerun10="c" ocs_prerun="a x" ocs_prerun2="b" ocs_postrun1="d"`,
			Config{Prerun: [][]string{{"a", "x"}, {"b"}, {"c"}}, Postrun: [][]string{{"d"}}}},
		{"local repository", "ocs_repository=dev:///sdb1", Config{Images: "/dev/sdb1"}},
		{"local repository by path", "ocs_repository=dev:///dev/sdb1", Config{Images: "/dev/sdb1"}},
		{"local repository by label", `ocs_repository="dev:///LABEL=my disk"`, Config{Images: "LABEL=my disk"}},
		{"remote repository", "ocs_repository=nfs://10.0.0.1/images", Config{Images: "nfs://10.0.0.1/images"}},
		{"ssh repository", "ocs_repository=ssh://root@10.0.0.1/images", Config{Images: "sftp://root@10.0.0.1/images"}},
		{"ours hold", `ocs_repository=dev:///sdb1 doppel.images=boot doppel.run="verify x" ocs_live_run="ocs-sr restoredisk lab sda"`,
			Config{Images: "boot", Run: []string{"verify", "x"}}},
		{"Debian live keyboard", "keyboard-layouts=de,us locales=en_US.UTF-8", Config{Keymap: "de"}},
		{"no keyboard", "keyboard-layouts=NONE ocs_live_keymap=NONE", Config{}},
		{"old keyboard", "ocs_live_keymap=/usr/share/keymaps/i386/azerty/fr-latin9.kmap.gz", Config{Keymap: "fr-latin9"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Parse(tt.line); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("\n got %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestNotes(t *testing.T) {
	for line, word := range map[string]string{
		"doppel.colour=red":                             "doppel.colour",
		"doppel.then=dance":                             "dance",
		"doppel.init=fast":                              "stop",
		"ocs_daemonon=ssh":                              "doppel.ssh",
		"ocs_daemonon=drbl":                             "no equal",
		"ocs_preload=tftp://a/b":                        "tftp",
		"hostname=a_b":                                  "no name",
		"ethdevice=eth1":                                "ip=eth1:dhcp",
		"ocs_nic_type=x":                                "no equal",
		`doppel.run="verify x" doppel.job=/a.json`:      "doppel.job",
		`ocs_live_run="ocs-sr -k1 restoredisk lab sda"`: "keep their sizes",
		`ocs_live_run="ocs-sr -fsck-src-part savedisk lab sda"`:   "only read",
		`ocs_live_run="ocs-sr -z5 savedisk lab sda"`:              "zstd",
		`ocs_live_run="ocs-sr -hn0 PC restoredisk lab sda"`:       "-hn0",
		`ocs_live_run="ocs-sr -enc savedisk lab sda"`:             "not encrypted",
		`ocs_live_extra_param="-o1"`:                              "-o1",
		"ocs_prerunner=x":                                         "no equal",
		"ocs_repository=floppy:///x":                              "floppy",
		"ocs_repository=sdb1":                                     "dev:///sdb1",
		"locales=de_DE.UTF-8":                                     "English",
		`ocs_live_run="bash"`:                                     "",
		`ocs_live_run="drbl-ocs x"`:                               "drbl-ocs",
		`ocs_live_run="ocs-sr -x"`:                                "savedisk",
		`ocs_live_run="ocs-sr savedisk lab unused"`:               "choose in the menu",
		`ocs_live_run="ocs-sr savedisk ask_user sda"`:             "choose in the menu",
		`ocs_live_run="ocs-sr restoredisk lab"`:                   "choose in the menu",
		`ocs_live_run="ocs-sr restoredisk lab sda sdb"`:           "one disk",
		`ocs_live_run="ocs-sr restoreparts lab sda1 sdb1"`:        "one disk",
		"ocs_repository=smb://joe:geheim@10.0.0.1/images":         "password",
		"ocs_repository=ssh://joe:geheim@10.0.0.1/images quiet=1": "password",
		"doppel.images=smb://joe:geheim@10.0.0.1/images":          "doppel.credentials",
		"ocs_repository=smb://joe:geheim@10.0.0.1:x/images":       "URL",
	} {
		c := Parse(line)
		if word == "" {
			if len(c.Notes) != 0 {
				t.Errorf("%s: unexpected notes %v", line, c.Notes)
			}
			continue
		}
		if len(c.Notes) != 1 || !strings.Contains(c.Notes[0].String(), word) {
			t.Errorf("%s: notes %v, want one with %q", line, c.Notes, word)
		}
		if strings.Contains(line, "-enc") && len(c.Run) > 0 {
			t.Errorf("%s: %q is run", line, c.Run)
		}
		if strings.Contains(fmt.Sprintf("%+v", c), "geheim") {
			t.Errorf("%s: the password got through: %+v", line, c)
		}
	}
}

// TestPassword: what stands in a URL is used and shown nowhere.
func TestPassword(t *testing.T) {
	const want = "p@ss w%rd"
	for _, line := range []string{
		`ocs_repository="smb://LAB;joe:p@ss%20w%25rd@10.0.0.1/images/a b"`,
		`doppel.images=smb://LAB;joe:p%40ss%20w%25rd@10.0.0.1/images/a%20b ocs_repository=dev:///sdb1`,
	} {
		c := Parse(line)
		if c.Images != "smb://LAB;joe@10.0.0.1/images/a%20b" || c.Password.Reveal() != want {
			t.Errorf("%s: %s with %q", line, c.Images, c.Password.Reveal())
		}
		if shown := remote.Scrub(line, c.Secrets...); strings.Contains(shown, "ss%20w") || !strings.Contains(shown, "joe:"+remote.Hidden+"@") {
			t.Errorf("shown: %s", shown)
		}
		if again := remote.Scrub("as meant: "+want, c.Secrets...); strings.Contains(again, want) {
			t.Errorf("shown: %s", again)
		}
	}
	line := `ocs_prerun="fetch https://a:first@srv/x ftp://b:second@srv" doppel.images=smb://u:third@srv:x/y doppel.credentials=boot:c.json`
	c := Parse(line)
	if shown := remote.Scrub(line, c.Secrets...); strings.Contains(shown, "first") || strings.Contains(shown, "second") || strings.Contains(shown, "third") {
		t.Errorf("shown: %s", shown)
	}
	if c.Images != "smb://srv:x/y" || c.Credentials != "boot:c.json" {
		t.Errorf("%+v", c)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`doppel.run="restore a serial:b" ocs_prerun2=x ip=dhcp`)
	f.Add(`"ocs_live_run=ocs-sr -p reboot restoreparts lab 'p1 0p1'"`)
	f.Add(`ocs_repository=dev: ocs_repository=://`)
	f.Add(`doppel.images=smb://u:p@x ocs_prerun=a://b:c@d://e:f@g`)
	f.Fuzz(func(t *testing.T, line string) {
		Parse(line)
		args := Fields(line)
		if back := Fields(Quote(args)); !slices.Equal(args, back) {
			t.Errorf("%q quoted and cut again: %q", args, back)
		}
	})
}
