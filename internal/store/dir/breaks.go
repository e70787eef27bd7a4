package dir

import (
	"os"
	"strings"
)

// smbBreaks is the line of the kernel's statistics that counts how often
// connections to SMB servers were made anew ("1 session 2 share reconnects"),
// or "" where it tells none.
func smbBreaks() string {
	text, err := os.ReadFile("/proc/fs/cifs/Stats")
	if err != nil {
		return ""
	}
	return breaksIn(string(text))
}

func breaksIn(text string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, "reconnects") {
			return line
		}
	}
	return ""
}
