package blockdev

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"
)

// Health is what a drive says about its own state.
type Health struct {
	State string `json:"state"` // good, failing, unknown
	Text  string `json:"text"`  // one line
}

// healthTimeout bounds the whole question; a dying drive may never answer.
const healthTimeout = 8 * time.Second

// AskHealth asks the disk for its health. It takes a few seconds at most.
func AskHealth(ctx context.Context, d Disk) Health {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	answer := make(chan Health, 1)
	// The goroutine may outlive this call: a drive that hangs in a command
	// cannot be interrupted. It holds nothing but its open file.
	go func() { answer <- askHealth(ctx, d) }()
	select {
	case h := <-answer:
		return h
	case <-ctx.Done():
		return Health{"unknown", "the drive does not answer"}
	}
}

func askHealth(ctx context.Context, d Disk) Health {
	unknown := Health{State: "unknown", Text: "the drive does not tell"}
	switch d.Transport {
	case "loop", "file", "virtio", "mmc":
		return unknown
	}
	f, err := os.OpenFile(d.Path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return unknown
	}
	defer f.Close()
	switch d.Transport {
	case "nvme":
		log := make([]byte, 512)
		if nvmeLog(f, 2, log) == nil {
			return parseNVMeHealth(log)
		}
	case "sata":
		if failing, err := ataStatus(f); err == nil {
			return overall(failing)
		}
	}
	if h, ok := smartctl(ctx, d.Path); ok {
		return h
	}
	return unknown
}

func overall(failing bool) Health {
	if failing {
		return Health{"failing", "the drive predicts its own failure: save what is on it first"}
	}
	return Health{"good", "the drive says that it is healthy"}
}

// parseNVMeHealth reads the SMART / health information page (NVMe 1.4,
// 5.14.1.2): byte 0 critical warnings, byte 3 spare left, byte 4 its
// threshold, byte 5 life used, all in percent.
func parseNVMeHealth(log []byte) Health {
	if len(log) < 6 {
		return Health{State: "unknown"}
	}
	text := fmt.Sprintf("%d %% of its life used, %d %% spare left", log[5], log[3])
	if log[0] != 0 || log[3] < log[4] {
		return Health{"failing", text + ", the drive warns: save what is on it first"}
	}
	return Health{"good", text}
}

// smartctl asks the program of that name where it exists; it knows the drives
// behind USB bridges and RAID controllers.
func smartctl(ctx context.Context, path string) (Health, bool) {
	program, err := exec.LookPath("smartctl")
	if err != nil {
		return Health{}, false
	}
	// Its exit status is a set of bits, of which most are no error here.
	out, _ := exec.CommandContext(ctx, program, "-j", "-H", path).Output()
	return parseSmartctl(out)
}

func parseSmartctl(out []byte) (Health, bool) {
	var report struct {
		Status *struct {
			Passed bool `json:"passed"`
		} `json:"smart_status"`
	}
	if json.Unmarshal(out, &report) != nil || report.Status == nil {
		return Health{}, false
	}
	return overall(!report.Status.Passed), true
}
