package place

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"doppel.live/internal/vm/lab"
)

// away is how long the servers are away in the middle of the jobs.
const away = 30 * time.Second

// job is a process of doppel that is at work on its first volume.
type job struct {
	cmd   *exec.Cmd
	out   *bufio.Reader
	said  bytes.Buffer
	ended chan error
}

// begin starts a job and stops it as soon as it says that it is at work.
func begin(t *testing.T, args ...string) *job {
	t.Helper()
	j := &job{cmd: exec.Command("doppel", args...), ended: make(chan error, 1)}
	pipe, err := j.cmd.StdoutPipe()
	must(t, err)
	j.out = bufio.NewReader(pipe)
	j.cmd.Stderr = &j.said
	must(t, j.cmd.Start())
	t.Cleanup(func() { j.cmd.Process.Kill() })
	for {
		line, err := j.out.ReadString('\n')
		if err != nil {
			t.Fatalf("%v ended: %v\n%s", args, j.cmd.Wait(), j.said.String())
		}
		j.said.WriteString(line)
		if strings.Contains(line, `"event":"step"`) {
			break
		}
	}
	must(t, j.cmd.Process.Signal(unix.SIGSTOP))
	return j
}

// goOn lets the job go on to its end.
func (j *job) goOn(t *testing.T) {
	must(t, j.cmd.Process.Signal(unix.SIGCONT))
	go func() {
		j.said.ReadFrom(j.out)
		j.ended <- j.cmd.Wait()
	}()
}

// giveUp ends jobs that wait for a server as the menu does: it asks, and kills
// what does not end. It gives those that the kernel holds until the server is
// back: a process that waits for pages to be written over NFS cannot be killed
// (only leaving the place, umount2's MNT_FORCE, or the time of the mount ends
// that).
func giveUp(t *testing.T, jobs []*job) (held []*job) {
	t.Helper()
	for _, j := range jobs {
		j.goOn(t)
	}
	time.Sleep(5 * time.Second) // until they wait for the server
	for _, signal := range []unix.Signal{unix.SIGINT, unix.SIGKILL} {
		for _, j := range jobs {
			if err := j.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Error(err)
			}
		}
		time.Sleep(2 * time.Second)
	}
	for _, j := range jobs {
		select {
		case <-j.ended:
		case <-time.After(5 * time.Second):
			if stacks := j.stacks(); !writingBack.MatchString(stacks) {
				t.Errorf("%v cannot be ended: %s", j.cmd.Args, stacks)
			}
			held = append(held, j)
		}
	}
	return held
}

// writingBack is a thread in the kernel that waits for pages of a file over
// NFS, which cannot be interrupted.
var writingBack = regexp.MustCompile(`(?s)wait_on_page_writeback|folio_wait_writeback|filemap_fdatawait|nfs_wb_all|nfs_file_fsync`)

// stacks are where all threads of the job are in the kernel.
func (j *job) stacks() string {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stack", j.cmd.Process.Pid))
	var all strings.Builder
	for _, f := range files {
		stack, _ := os.ReadFile(f)
		fmt.Fprintf(&all, "%s:\n%s", f, stack)
	}
	return all.String()
}

// TestOutage: jobs outlive servers that stop: over each of NFS and SMB one
// saves an image and one restores another.
func TestOutage(t *testing.T) {
	t.Parallel()
	servers(t, outage)
}

func outage(t *testing.T, stopSMB func()) {
	source := make([]byte, 40<<20)
	rand.Read(source)
	must(t, os.WriteFile("/run/tmp/source", source, 0o600))
	lab.Do(t, "doppel", "save", "/run/tmp/source", "base", "--images", "/mnt/whole", "--yes")
	places := map[string]string{"nfs": "nfs://127.0.0.1/mnt/whole", "nfs3": "nfs://127.0.0.1/mnt/whole?version=3", "smb": "smb://games@127.0.0.1/whole"}
	var jobs, given []*job // given up while the servers are away
	for kind, spec := range places {
		images, target := "/run/"+kind, "/run/tmp/target-"+kind
		must(t, os.Mkdir(images+".place", 0o755))
		images += ".place"
		l, cred, err := parse(spec, credentials("", plainPassword))
		must(t, err)
		root, _, err := mountRemote(t.Context(), l, cred)
		must(t, err)
		must(t, attach(root, images))
		root.Close()
		given = append(given, begin(t, "save", "/run/tmp/source", "given-up-"+kind, "--images", images, "--yes", "--json"))
		if kind == "nfs3" {
			jobs = append(jobs, begin(t, "save", "/run/tmp/source", "saved-"+kind, "--images", images, "--yes", "--json"))
			continue
		}
		must(t, os.WriteFile(target, nil, 0o600))
		must(t, os.Truncate(target, int64(len(source))))
		jobs = append(jobs, begin(t, "save", "/run/tmp/source", "saved-"+kind, "--images", images, "--yes", "--json"),
			begin(t, "restore", "base", target, "--images", images, "--yes", "--json"))
	}
	nfsd(t, 0)
	stopSMB()
	for _, j := range jobs {
		j.goOn(t)
	}
	before, err := os.ReadFile("/proc/fs/cifs/Stats")
	if err != nil || !strings.Contains(string(before), " share reconnects\n") {
		t.Errorf("nobody counts the breaks of connections: %v: %s", err, before) // package store/dir goes by it
	}
	began := time.Now()
	held := giveUp(t, given)
	time.Sleep(away - time.Since(began))
	for _, j := range jobs {
		select {
		case err := <-j.ended:
			t.Fatalf("%v ended without the server: %v\n%s", j.cmd.Args, err, j.said.String())
		default:
		}
	}
	nfsd(t, 4)
	smbd(t)
	back := time.Now()
	for _, j := range jobs {
		if err := <-j.ended; err != nil {
			t.Errorf("%v: %v\n%s", j.cmd.Args, err, j.said.String())
		}
		t.Logf("%v ended %v after the servers came back", j.cmd.Args[1:3], time.Since(back).Round(time.Second))
	}
	reconnects := regexp.MustCompile(".* share reconnects\n")
	after, _ := os.ReadFile("/proc/fs/cifs/Stats")
	if reconnects.FindString(string(before)) == reconnects.FindString(string(after)) {
		t.Errorf("a break of the connection was not counted: %s", after)
	}
	for _, j := range held {
		<-j.ended
		t.Logf("%v ended with the servers, %v after they came back", j.cmd.Args[1:3], time.Since(back).Round(time.Second))
	}
	for kind := range places {
		lab.Do(t, "doppel", "verify", "saved-"+kind, "--images", "/mnt/whole")
		if kind == "nfs3" {
			continue
		}
		if got, err := os.ReadFile("/run/tmp/target-" + kind); err != nil || !bytes.Equal(got, source) {
			t.Errorf("what was restored over %s is not what was saved: %v", kind, err)
		}
	}
}
