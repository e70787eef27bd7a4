package acceptance

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"doppel.live/internal/store/storetest/sshd"
	"doppel.live/internal/vm"
)

// A job from the kernel command line saves a disk to an SSH server of the
// host's, with the key in a file on a stick and the server's key pinned;
// another restores it. In the middle of each the server is away for half a
// minute. Nobody gets to see the key.
func TestJobsOverSFTP(t *testing.T) {
	t.Parallel()
	l := openLab(t)
	server, images := sshd.Start(t), t.TempDir()
	const data, size = 120 << 20, 160 << 20
	source, target := empty(t, "source", size), empty(t, "target", size+1<<20)
	extDisk(t, source, "SOURCE", random(t, data))
	stick, folder := empty(t, "stick", 8<<20), t.TempDir()
	text, err := json.Marshal(map[string]string{"key": server.Key})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "credentials.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	extDisk(t, stick, "KEYS", folder)
	config := vm.Config{Kernel: l.kernel, Initrd: l.initrd, NIC: true, Disks: []vm.Disk{
		{Path: source, Serial: "SOURCE", ReadOnly: true}, {Path: target, Serial: "TARGET"}, {Path: stick, Serial: "KEYS"}}}
	place := fmt.Sprintf(" doppel.images=sftp://%s@10.0.2.2:%d%s?host_key=%s doppel.credentials=LABEL=KEYS:/credentials.json", server.User, server.Port, images, server.Fingerprint)

	config.Append = commandLine + place + ` doppel.run="save serial:SOURCE lab" doppel.then=poweroff`
	c := start(t, config, 8*time.Minute)
	sshdAway(c, server, func() int64 { return written(images) })
	if err := c.WaitExit(c.ctx); err != nil {
		c.fail(err)
	}
	run(t, os.Getenv("DOPPEL_HOST"), "verify", "lab", "--images", images)
	noKey(t, c, server)

	config.Append = commandLine + place + ` doppel.run="restore lab serial:TARGET --yes"`
	c = start(t, config, 8*time.Minute)
	sshdAway(c, server, func() int64 { return allocated(target) })
	c.seeWithin(4*time.Minute, "Restored: (Done|Failed)")
	c.see("Restored: Done")
	c.toMain()
	c.shell("cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ /proc/cmdline /run/doppel/notes /var/log/doppel/*/log | tr '\\000' '\\n'; doppel images")
	noKey(t, c, server)
	saved, restored := mount(t, source, 1<<20, size-2<<20), mount(t, target, 1<<20, size-2<<20)
	if sum(t, filepath.Join(saved, "random")) != sum(t, filepath.Join(restored, "random")) {
		t.Error("what was restored is not what was saved")
	}
}

// sshdAway lets the server go away and come back as soon as something has
// become large.
func sshdAway(c *console, server *sshd.Server, size func() int64) {
	c.t.Helper()
	for size() < 8<<20 {
		select {
		case <-c.ctx.Done():
			c.fail(fmt.Errorf("the job did not begin; the screen:\n%s", c.Screen()))
		case <-time.After(20 * time.Millisecond):
		}
	}
	server.Kill()
	before := size()
	time.Sleep(goneFor)
	server.Run()
	c.t.Logf("%d MB were done when the server went", before>>20)
}

// noKey looks for a line of the private key in all that a serial line has shown.
func noKey(t *testing.T, c *console, server *sshd.Server) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(server.Key), "\n")
	if strings.Contains(c.Log(), lines[2]) {
		t.Error("the key was shown")
	}
}
