package pid1

import (
	"encoding/json"
	"os"

	"doppel.live/internal/live/cmdline"
	"doppel.live/internal/store/remote"
	"golang.org/x/sys/unix"
)

// credentialsFile keeps the password of the command line for the place of the
// images: in memory, for root alone.
const credentialsFile = stateFolder + "/credentials.json"

// hide keeps the passwords of the kernel command line from programs: they see
// one without. The kernel's own log holds the line too, and a program of root
// can read it there; what others could have seen before the kernel ran
// (boot menu, TFTP, HTTP) cannot be taken back.
func (m *machine) hide(line string) {
	if len(m.config.Secrets) == 0 {
		return
	}
	const shown = stateFolder + "/cmdline"
	err := os.WriteFile(shown, []byte(remote.Scrub(line, m.config.Secrets...)), 0o444)
	if err == nil {
		err = unix.Mount(shown, "/proc/cmdline", "", unix.MS_BIND, "")
	}
	if err == nil {
		err = os.WriteFile("/proc/sys/kernel/dmesg_restrict", []byte("1\n"), 0)
	}
	if err != nil {
		m.log.printf("the password on the kernel command line can be read in /proc/cmdline: %v", err)
	}
	if !m.config.Password.Empty() {
		if err := writeCredentials(credentialsFile, m.config.Password); err != nil {
			m.log.printf("the password on the kernel command line cannot be used: %v", err)
		}
	}
}

// writeCredentials writes a file of credentials that holds a password.
func writeCredentials(file string, password remote.Secret) error {
	data, err := json.Marshal(map[string]string{"password": password.Reveal()})
	if err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o600)
}

// placeCommand is what makes the place of the images usable.
func placeCommand(c cmdline.Config) []string {
	wait := placeWait
	if remote.Is(c.Images) {
		wait = serverWait
	}
	argv := []string{"place", "use", c.Images, "--wait", wait}
	switch {
	case c.Credentials != "":
		argv = append(argv, "--credentials", c.Credentials)
	case !c.Password.Empty():
		argv = append(argv, "--credentials", credentialsFile)
	}
	return argv
}
