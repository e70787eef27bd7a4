package acceptance

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"doppel.live/internal/store/storetest/sshd"
)

// pageFolder is where the pictures of the pages are kept.
const pageFolder = "../../../docs/pages"

// Every page of the menu, kept as a picture of a text console of 80x25 and of a
// screen of 1024x768, and as the text of a serial terminal, in the folder pages
// of the one that DOPPEL_SCREENSHOTS names. Whoever changes pages looks at them.
func TestPages(t *testing.T) {
	l := openLab(t)
	folder := os.Getenv("DOPPEL_SCREENSHOTS")
	if folder == "" && os.Getenv("DOPPEL_SOAK") == "" {
		t.Skip("takes minutes: name a folder in DOPPEL_SCREENSHOTS")
	}
	if folder == "" {
		folder = t.TempDir()
	}
	folder = filepath.Join(folder, "pages")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, parameters, suffix string }{
		{"80x25", " nomodeset vga=normal", ".png"},
		{"1024x768", " nomodeset vga=791", "-large.png"}, // VESA mode 0x317: 1024x768 with 16 bits
		{"serial", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := sshd.Start(t)
			server.AllowPassword()
			images, err := os.MkdirTemp("", "images")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(images) })
			config, _, _ := l.machine(t)
			config.Kernel, config.Initrd, config.NIC = l.kernel, l.initrd, true
			config.Append = commandLine + test.parameters
			c := startToMenu(t, config, 45*time.Minute)
			p := &pages{console: c, show: c.Screen, press: c.key, about: described(t)}
			if test.suffix != "" {
				c.choose("Shell")
				c.see(`doppel:.*#`)
				p.show, p.press = c.graphicalText, c.pressKeys
				p.picture = func(name string) error { return c.Screenshot(filepath.Join(folder, name+test.suffix)) }
			}
			for _, s := range tour(server, images) {
				p.take(s)
			}
			if test.suffix == "" {
				if err := os.WriteFile(filepath.Join(folder, "serial.txt"), []byte(p.said.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// pages walks through the menu on one of a machine's consoles.
type pages struct {
	*console
	show    func() string           // gives the text that stands there
	press   func(text string)       // presses the keys of a text
	picture func(name string) error // keeps a picture; nil: the text is kept
	about   map[string]string       // what each picture shows
	said    strings.Builder         // the texts that are kept
}

// described reads what each picture shows from the table of those that are kept.
func described(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(pageFolder, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	about := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\| ([^|]+) \| \[([a-z-]+)\.png\]`).FindAllStringSubmatch(string(text), -1) {
		about[m[2]] = m[1]
	}
	return about
}

// graphicalText is what the graphical console shows, ASCII alone, as a shell on
// the serial line reads it.
func (c *console) graphicalText() string {
	c.t.Helper()
	mark := c.Mark()
	c.key("echo beg''in; base64 /dev/vcs1; echo en''d\r") // typed ahead of the prompt now and then
	found, err := c.WaitLog(c.ctx, mark, `begin\r?\n([A-Za-z0-9+/=\r\n]+)\r?\n?end`)
	if err != nil {
		c.fail(err)
	}
	data, err := base64.StdEncoding.DecodeString(strings.NewReplacer("\r", "", "\n", "").Replace(found[1]))
	if err != nil {
		c.t.Fatalf("the text of the console: %v", err)
	}
	width := map[int]int{80 * 25: 80, 128 * 48: 128}[len(data)]
	if width == 0 {
		c.t.Fatalf("the console has %d characters", len(data))
	}
	var b strings.Builder
	for i, char := range data {
		if char < ' ' || char > '~' { // of the font
			char = '.'
		}
		b.WriteByte(char)
		if (i+1)%width == 0 {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// pressKeys presses the keys of a text on the machine's keyboard.
func (c *console) pressKeys(text string) {
	c.t.Helper()
	names := map[rune]string{'\r': "ret", '\x03': "ctrl-c", '\x15': "ctrl-u", '?': "f1", '-': "minus", '.': "dot", '/': "slash", ':': "shift-semicolon", ' ': "spc"}
	for _, r := range text {
		name := names[r]
		if name == "" {
			name = string(r)
		}
		if err := c.Keys(name); err != nil {
			c.t.Fatal(err)
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
	for began := time.Now(); time.Since(began) < 10*time.Minute; time.Sleep(300 * time.Millisecond) {
		if text = p.show(); re.MatchString(text) && text == before {
			return text
		}
		before = text
	}
	p.fail(fmt.Errorf("%s does not come; the console shows\n%s", expr, text))
	return ""
}

// keep keeps what the console shows under a name.
func (p *pages) keep(name, text string) {
	p.t.Helper()
	p.t.Logf("%s", name)
	fmt.Fprintf(&p.said, "----- %s: %s\n\n%s\n\n", name, p.about[name], strings.TrimRight(text, "\n"))
	if p.picture == nil {
		return
	}
	if err := p.picture(name); err != nil {
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

// home goes back to the main page.
func (p *pages) home() {
	p.t.Helper()
	for range 12 {
		text := p.show()
		if strings.Contains(text, mainTitle) {
			return
		}
		p.press(back)
		for range 10 {
			if p.show() != text {
				break
			}
			time.Sleep(200 * time.Millisecond)
		}
	}
	p.until(regexp.QuoteMeta(mainTitle))
}

// glimpse keeps a page that changes all the time.
func (p *pages) glimpse(name, text string) {
	p.t.Helper()
	for range 100 {
		if shown := p.show(); strings.Contains(shown, text) {
			p.keep(name, shown)
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
	p.fail(fmt.Errorf("%q does not come", text))
}

// work keeps the page of a job that is under way and its question whether to
// stop, and answers that.
func (p *pages) work(name, answer string) {
	p.t.Helper()
	for began := time.Now(); time.Since(began) < 10*time.Minute; time.Sleep(200 * time.Millisecond) {
		text := p.show()
		if strings.Contains(text, ": Done") || strings.Contains(text, "Failed") {
			p.t.Errorf("%s: the job was over before it was seen", name)
			return
		}
		if regexp.MustCompile(`All .*[1-9]%`).MatchString(text) {
			p.keep(name+"-work", text)
			break
		}
	}
	p.press(back)
	p.keep(name+"-stop", p.until("Stop the job[?]"))
	p.pick(answer)
}

// Every page that a tour meets has its pictures, named, and they are small.
func TestKeptPages(t *testing.T) {
	about := described(t)
	serial, err := os.ReadFile(filepath.Join(pageFolder, "serial.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var total int64
	met := map[string]bool{}
	for _, name := range kept(tour(&sshd.Server{}, "")) {
		if met[name] = true; about[name] == "" {
			t.Errorf("README.md does not tell of %s", name)
		}
		if !strings.Contains("\n"+string(serial), "\n----- "+name+": "+about[name]+"\n") {
			t.Errorf("serial.txt does not show %s as README.md tells of it", name)
		}
		for _, file := range []string{name + ".png", name + "-large.png"} {
			if info, err := os.Stat(filepath.Join(pageFolder, file)); err != nil {
				t.Error(err)
			} else {
				total += info.Size()
			}
		}
	}
	for name := range about {
		if !met[name] {
			t.Errorf("README.md tells of %s, which no tour meets", name)
		}
	}
	files, err := filepath.Glob(filepath.Join(pageFolder, "*.png"))
	if err != nil || len(files) != 2*len(met) {
		t.Errorf("%d pictures of %d pages: %v", len(files), len(met), err)
	}
	if total > 1500_000 {
		t.Errorf("the pictures have %d bytes", total)
	}
}
