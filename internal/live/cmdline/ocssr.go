package cmdline

import (
	"strconv"
	"strings"
)

// ocsOptions reads the options of ocs-sr. -p says what comes after it, -batch
// and -b that nobody is asked; some have equals, some tune what is done
// otherwise here or always; what is left is named.
func (p *parser) ocsOptions(key string, args []string) {
	for i, a := range args {
		next := ""
		if i+1 < len(args) {
			next = args[i+1]
		}
		switch a {
		case "-batch", "--batch", "-b":
			p.ocs.batch = true
		case "-p", "--postaction":
			if next != "" {
				p.ocs.then = thenOf(next)
			}
		case "-i", "--image-size":
			p.split(next)
		case "-k":
			p.ocs.options = append(p.ocs.options, "--keep-table")
		case "-rescue", "--rescue":
			p.ocs.options = append(p.ocs.options, "--rescue")
		case "-enc", "--enc-ocs-img":
			p.ocs.refused = true
			p.note(key, "%s: images are not encrypted here, so this job is not begun", a)
		default:
			p.otherOption(key, a)
		}
	}
}

// split translates the size of the files of an image: MB, 0 for any.
func (p *parser) split(size string) {
	if size == "0" {
		p.ocs.options = append(p.ocs.options, "--split=none")
	} else if n, err := strconv.Atoi(size); err == nil && n > 2 {
		p.ocs.options = append(p.ocs.options, "--split="+size+"M")
	}
}

// usual are options of ocs-sr that ask for what is done here in any case, or
// for how Clonezilla does something that is done otherwise.
const usual = " -g --grub-install -e -e1 -e2 -r -j -j0 -j1 -j2 -k0 -q -q2 -c -a -x -v -nogui --nogui -scr -scs -sc -sfsck -senc -ntfs-ok -icds -irhr -irvd " +
	"-ius -iui -icrc -um -srel -noabo -gm -gs -gb -gmf -gsf -gbf -cmf -csf -cs -ps "

func (p *parser) otherOption(key, option string) {
	switch {
	case !strings.HasPrefix(option, "-"), strings.Contains(usual, " "+option+" "):
	case strings.HasPrefix(option, "-z"):
		p.compress(key, option)
	case strings.HasPrefix(option, "-k"):
		p.note(key, "%s: partitions keep their sizes and places here", option)
	case strings.HasPrefix(option, "-fsck"), option == "-rm-win-swap-hib":
		p.note(key, "%s: a disk that is saved is only read here", option)
	default:
		p.note(key, "%s has no equal here", option)
	}
}

// compress translates -z0 to -z9p: none, gzip, and what is not written here.
func (p *parser) compress(key, option string) {
	switch strings.TrimSuffix(option, "p") {
	case "-z0":
		p.ocs.options = append(p.ocs.options, "--compress=none")
	case "-z1":
		p.ocs.options = append(p.ocs.options, "--compress=gzip")
	case "-z9": // zstd, as here
	default:
		p.note(key, "%s: this compression is read here, not written; zstd is used", option)
	}
}
