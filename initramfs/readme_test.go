package initramfs

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The README shows the usage of the live system's own commands as they print
// it, and every parameter of ours on the kernel command line.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"place", "network", "stick"} {
		source, err := os.ReadFile("../uroot-cmds/" + command + "/main.go")
		if err != nil {
			t.Fatal(err)
		}
		usage := regexp.MustCompile(`(?m)^const usage = "usage: (.*)"$`).FindSubmatch(source)
		if usage == nil {
			t.Fatalf("%s has no usage line", command)
		}
		if !strings.Contains(string(readme), "    "+string(usage[1])+"\n") {
			t.Errorf("README.md lacks %q", usage[1])
		}
	}
	parser, err := os.ReadFile("../internal/live/cmdline/config.go")
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(parser), "func (p *parser) doppel(")
	body, _, _ = strings.Cut(body, "\n}\n")
	names := regexp.MustCompile(`(?m)^\tcase "(\w+)":$`).FindAllStringSubmatch(body, -1)
	if len(names) < 5 {
		t.Fatalf("only %d parameters found in the parser", len(names))
	}
	for _, name := range names {
		if !strings.Contains(string(readme), "`doppel."+name[1]+"=") {
			t.Errorf("README.md lacks doppel.%s=", name[1])
		}
	}
}
