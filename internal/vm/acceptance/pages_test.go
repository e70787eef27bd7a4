package acceptance

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Every page of the menu, kept as a picture of a text console of 80x25 and of a
// screen of 1024x768, and as the text of a serial terminal, in the folder that
// DOPPEL_SCREENSHOTS names. Whoever changes pages looks at them.
func TestPages(t *testing.T) {
	l := openLab(t)
	folder := os.Getenv("DOPPEL_SCREENSHOTS")
	if folder == "" && os.Getenv("DOPPEL_SOAK") == "" {
		t.Skip("takes minutes: name a folder in DOPPEL_SCREENSHOTS")
	}
	if folder == "" {
		folder = t.TempDir()
	}
	for _, test := range []struct{ name, parameters string }{
		{"80x25", " nomodeset vga=normal"},
		{"1024x768", " nomodeset vga=791"}, // VESA mode 0x317: 1024x768 with 16 bits
		{"serial", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			config, _, _ := l.machine(t)
			config.CD, config.Kernel, config.Initrd, config.NIC = "", l.kernel, l.initrd, true
			config.Append = commandLine + test.parameters
			c := startToMenu(t, config, 25*time.Minute)
			p := &pages{console: c, folder: filepath.Join(folder, test.name), extension: "txt"}
			if err := os.MkdirAll(p.folder, 0o755); err != nil {
				t.Fatal(err)
			}
			if test.name != "serial" {
				c.choose("Shell")
				c.see(`doppel:.*#`)
				p.picture, p.extension = true, "png"
			}
			p.tour()
		})
	}
}

// pages walks through the menu on one of a machine's consoles.
type pages struct {
	*console
	picture   bool // on the graphical console, whose text a shell on the serial line reads
	folder    string
	extension string
	number    int
}

// text is what the console shows.
func (p *pages) text() string {
	p.t.Helper()
	if !p.picture {
		return p.Screen()
	}
	mark := p.Mark()
	p.key("base64 /dev/vcsu1; echo en''d\r")
	found, err := p.WaitLog(p.ctx, mark, `d\r?\n([A-Za-z0-9+/=\r\n]+)\r?\n?end`)
	if err != nil {
		p.fail(err)
	}
	data, err := base64.StdEncoding.DecodeString(strings.NewReplacer("\r", "", "\n", "").Replace(found[1]))
	if err != nil || len(data)%4 != 0 {
		p.t.Fatalf("the text of the console: %v, %d bytes", err, len(data))
	}
	width := map[int]int{80 * 25: 80, 128 * 48: 128}[len(data)/4]
	if width == 0 {
		p.t.Fatalf("the console has %d characters", len(data)/4)
	}
	var b strings.Builder
	for i := range len(data) / 4 {
		b.WriteRune(rune(binary.LittleEndian.Uint32(data[4*i:])))
		if (i+1)%width == 0 {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// press presses a key: a letter or digit, ret, esc, or a text of such.
func (p *pages) press(text string) {
	p.t.Helper()
	if !p.picture {
		p.key(text)
		return
	}
	names := map[rune]string{'\r': "ret", '\x03': "ctrl-c", '\x15': "ctrl-u", '?': "f1", '-': "minus", '.': "dot", '/': "slash", ':': "shift-semicolon", ' ': "spc"}
	for _, r := range text {
		name := names[r]
		if name == "" {
			name = string(r)
		}
		if err := p.Keys(name); err != nil {
			p.t.Fatal(err)
		}
		time.Sleep(120 * time.Millisecond) // as long as QEMU holds a key
	}
}

// until waits until the console shows an expression, and does so still when
// asked again: the page is drawn.
func (p *pages) until(expr string) string {
	p.t.Helper()
	re := regexp.MustCompile(expr)
	text, before := "", ""
	for began := time.Now(); time.Since(began) < 10*time.Minute; time.Sleep(400 * time.Millisecond) {
		if text = p.text(); re.MatchString(text) && text == before {
			return text
		}
		before = text
	}
	p.fail(fmt.Errorf("%s does not come; the console shows\n%s", expr, text))
	return ""
}

// page waits for a page and keeps it.
func (p *pages) page(name, title string) {
	p.t.Helper()
	text := p.until(regexp.QuoteMeta(title))
	p.keep(name, text)
}

func (p *pages) keep(name, text string) {
	p.t.Helper()
	p.number++
	file := filepath.Join(p.folder, fmt.Sprintf("%02d-%s.%s", p.number, name, p.extension))
	err := os.WriteFile(file, []byte(text), 0o644)
	if p.picture {
		err = p.Screenshot(file)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// pick presses the key of an item of the page that is shown.
func (p *pages) pick(item string) {
	p.t.Helper()
	expr := `(?m)(?:^|[^\w])([0-9a-z])[.)]? +(?:\[.\] +)?` + regexp.QuoteMeta(item)
	text := p.until(expr)
	p.press(regexp.MustCompile(expr).FindStringSubmatch(text)[1])
}

const mainTitle = "What would you like to do?"

// home goes back to the main page.
func (p *pages) home() {
	p.t.Helper()
	for range 12 {
		if strings.Contains(p.text(), mainTitle) {
			return
		}
		p.press(back)
		time.Sleep(time.Second)
	}
	p.until(regexp.QuoteMeta(mainTitle))
}

// tour shows every page once.
func (p *pages) tour() {
	p.page("main", mainTitle)
	p.press("?")
	p.page("help", "Help: ")
	p.press("\r")
	p.places()
	p.jobs()
	p.others()
	p.expert()
}

func (p *pages) places() {
	p.pick("Choose where images are")
	p.page("places", "Where are the images?")
	for _, each := range []struct{ item, name, title string }{
		{"NFS server", "place-nfs", "Images on an NFS server"}, {"Windows or Samba", "place-smb", "Images on a Windows or Samba share"},
		{"SSH server", "place-sftp", "Images on an SSH server"}, {"Web server", "place-http", "Images on a web server"}, {"Type a URL", "place-url", "Images at a URL"},
	} {
		p.pick(each.item)
		p.page(each.name, each.title)
		p.press(back)
	}
	p.pick("SSH server")
	p.pick("Password")
	p.page("place-password", "Enter alone means")
	p.press("secret\r")
	p.pick("Server")
	p.page("place-server", "Name or address")
	p.press("10.0.2.2:1\r")
	p.pick("Use this place")
	p.page("network-down", "The network is not up")
	p.pick("Bring it up by itself")
	p.page("network-done", "Network: Done")
	p.press("\r")
	p.page("place-refused", "cannot be used")
	p.press(back)
	p.until(`\(typed\)`)
	p.press(back)
	p.pick("/dev/vdb1")
	p.page("place-set", "Images are kept on")
	p.home()
}

func (p *pages) jobs() {
	p.pick("Save a disk or partitions")
	p.page("save-disk", "Save: which disk?")
	p.pick("/dev/vda")
	p.page("save-what", "Only some partitions")
	p.pick("Only some partitions")
	p.page("save-partitions", "Mark what belongs")
	p.press(back)
	p.pick("The whole disk")
	p.page("save-name", "what shall the image be called")
	p.press("\x15golden\r")
	p.page("save-plan", "Save: this is the plan")
	p.pick("Start")
	p.work("save")
	p.page("save-done", "Saved: Done")
	p.home()
	p.pick("Check an image")
	p.page("check-image", "Check: which image?")
	p.pick("golden")
	p.page("check-done", "Checked: Done")
	p.home()
	p.pick("Restore an image")
	p.page("restore-image", "Restore: which image?")
	p.pick("golden")
	p.page("restore-what", "The whole image")
	p.pick("Only some partitions")
	p.page("restore-partitions", "Mark the partitions to write")
	p.press(back)
	p.pick("The whole image")
	p.page("restore-target", "Restore: onto which disk?")
	p.pick("/dev/vda")
	p.until("This cannot be done|this is the plan")
	p.press(back)
	p.pick("/dev/sda")
	p.page("restore-plan", "Restore: this is the plan")
	p.pick("Start")
	p.page("restore-sure", "are you sure?")
	p.press("wrong\r")
	p.page("restore-wrong", "That is not what was asked for")
	p.press("\r")
	p.pick("Start")
	p.until("last 4 characters")
	p.press("0003\r")
	p.work("restore")
	p.page("restore-done", "Restored: Done")
	p.home()
}

// work keeps the page of a job that goes on, where it is seen in time, and its
// question whether to stop.
func (p *pages) work(name string) {
	p.t.Helper()
	for range 100 {
		text := p.text()
		if strings.Contains(text, ": Done") {
			return
		}
		if regexp.MustCompile(`All .*[1-9]%`).MatchString(text) {
			p.keep(name+"-work", text)
			p.press(back)
			time.Sleep(time.Second)
			if text = p.text(); strings.Contains(text, "Stop the job?") {
				p.keep(name+"-stop", text)
				p.press("1")
			}
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func (p *pages) others() {
	p.pick("Rescue a failing disk")
	p.page("rescue-disk", "Rescue: which disk fails?")
	p.home()
	p.pick("Clone a disk")
	p.page("clone-disk", "Clone: which disk shall be copied?")
	p.pick("/dev/vda")
	p.page("clone-target", "Clone: onto which disk?")
	p.pick("/dev/sda")
	p.page("clone-plan", "Clone: this is the plan")
	p.home()
	p.pick("Rename, remove or convert")
	p.page("images", "Images: which one?")
	p.pick("golden")
	p.page("image", "Image golden")
	p.pick("Rename it")
	p.page("image-rename", "be called?")
	p.press(back)
	p.pick("golden")
	p.pick("Remove it")
	p.page("image-remove", "Remove golden?")
	p.home()
	p.pick("Network")
	p.page("network", "Choose a card")
	p.press("1")
	p.page("network-card", "Network card")
	p.pick("Give it a fixed address")
	p.page("network-address", "A fixed address")
	p.home()
	p.pick("Disks and their health")
	p.page("disks", "Choose one to see more")
	p.pick("/dev/vda")
	p.page("disk", "Disk /dev/vda")
	p.home()
	if strings.Contains(p.text(), "Make a Doppel stick") {
		p.pick("Make a Doppel stick")
		p.page("stick-disk", "Stick: which disk")
		p.pick("/dev/sda")
		p.page("stick-what", "Stick: with images?")
		p.pick("Copy images")
		p.page("stick-images", "Stick: which images")
		p.home()
	}
	p.pick("Restart")
	p.page("restart", "Restart the machine?")
	p.home()
	p.pick("Power off")
	p.page("power-off", "Power off the machine?")
	p.home()
}

func (p *pages) expert() {
	p.pick("Expert mode")
	p.page("expert-main", "Expert mode: on")
	p.pick("Save a disk or partitions")
	p.pick("/dev/vda")
	p.pick("The whole disk")
	p.until("what shall the image be called")
	p.press("\x15golden-2\r")
	p.page("expert-save", "Options of save")
	p.pick("--compress")
	p.page("expert-choice", "How hard to compress")
	p.pick("max")
	p.page("expert-line", "--compress max")
	p.home()
	p.pick("Restore an image")
	p.pick("golden")
	p.pick("The whole image")
	p.pick("/dev/sda")
	p.page("expert-restore", "Options of restore")
	p.home()
	p.pick("Check an image")
	p.pick("golden")
	p.page("expert-verify", "Options of verify")
	p.home()
	p.pick("Expert mode")
	p.until("Expert mode: off")
}

// The pictures that are kept are all named, all there, and small.
func TestKeptPages(t *testing.T) {
	const folder = "../../../docs/pages"
	text, err := os.ReadFile(filepath.Join(folder, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.png"))
	if err != nil {
		t.Fatal(err)
	}
	var total int64
	named := map[string]bool{}
	for _, m := range regexp.MustCompile(`\(([a-z-]+\.png)\)`).FindAllStringSubmatch(string(text), -1) {
		named[m[1]] = true
	}
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if total += info.Size(); !named[info.Name()] {
			t.Errorf("README.md does not name %s", info.Name())
		}
		delete(named, info.Name())
	}
	for name := range named {
		t.Errorf("README.md names %s, which is not there", name)
	}
	if len(files) == 0 || total > 1500_000 {
		t.Errorf("%d pictures have %d bytes", len(files), total)
	}
}
