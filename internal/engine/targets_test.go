package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"doppel.live/internal/image"
	"doppel.live/internal/progress"
	"doppel.live/internal/record"
)

// job plans the restore of an image to a disk in memory.
func job(t testing.TB, im *memory, d *disk) Job {
	t.Helper()
	p, present := planFor(t, im, d)
	return Job{p, d, present}
}

// One reading of the image serves all targets; one that fails leaves the others alone.
func TestSeveralTargets(t *testing.T) {
	source := makeDisk(t, "gpt")
	im := save(t, source, Choice{})
	var disks []*disk
	var jobs []Job
	for i := range 4 {
		d := newDisk(int64(len(source)+i*mib), byte(i))
		disks, jobs = append(disks, d), append(jobs, job(t, im, d))
		jobs[i].Plan.Target.Path = fmt.Sprint("/dev/sd", string(rune('b'+i)))
	}
	disks[2].failAt, disks[2].failErr = 10, unix.EIO
	var warnings []string
	meter := &progress.Meter{Report: func(e progress.Event) {
		if e.Kind == progress.Warning {
			warnings = append(warnings, e.Text)
		}
	}}
	outcomes, err := Restore(context.Background(), reading{im}, jobs, RestoreOptions{Verify: true}, meter)
	var failure *Error
	if !errors.As(err, &failure) || !errors.Is(err, unix.EIO) || !strings.Contains(err.Error(), "1 of 4 targets failed: /dev/sdd") {
		t.Errorf("error %v", err)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "/dev/sdd is given up") {
		t.Errorf("warnings %q", warnings)
	}
	for i, d := range disks {
		if i == 2 {
			if outcomes[i].Err == nil || d.bytes[510] == 0x55 {
				t.Errorf("the failed target: %v, and sector 0 looks whole: %t", outcomes[i].Err, d.bytes[510] == 0x55)
			}
			continue
		}
		checkDisk(t, source, d.bytes, im.m)
		if outcomes[i].Err != nil || outcomes[i].Written != jobs[i].Plan.Bytes+swapPage {
			t.Errorf("target %d: %+v, %d bytes planned", i, outcomes[i], jobs[i].Plan.Bytes)
		}
	}
	for _, d := range disks {
		d.failAt, d.failErr = 1, unix.ENODEV
	}
	if _, err := Restore(context.Background(), reading{im}, jobs, RestoreOptions{}, &progress.Meter{}); !errors.Is(err, unix.ENODEV) {
		t.Errorf("all targets fail: %v", err)
	}
	fewer := *jobs[1].Plan
	fewer.Steps = fewer.Steps[1:]
	jobs[1].Plan = &fewer
	if _, err := Restore(context.Background(), reading{im}, jobs, RestoreOptions{}, &progress.Meter{}); err == nil || !strings.Contains(err.Error(), "different volumes") {
		t.Errorf("plans for different volumes: %v", err)
	}
}

// A second restore with Delta writes what was changed, and the edges.
func TestDeltaWritesWhatDiffers(t *testing.T) {
	source := makeDisk(t, "none")
	noise := make([]byte, 20*mib) // most of the volume is in use
	rand.NewChaCha8([32]byte{5}).Read(noise)
	im := save(t, source, Choice{})
	v := im.volumes[0]
	v.list, v.records = nil, nil
	for off := int64(0); off+mib <= v.volume.Size; off += mib {
		data := bytes.Clone(source[off : off+mib])
		copy(data, noise[off%(19*mib):])
		v.records = append(v.records, record.Record{Offset: off, Data: data})
	}
	d := newDisk(int64(len(source)), 0)
	run := func(delta bool) int64 {
		t.Helper()
		before := len(d.writes)
		o, err := Restore(context.Background(), reading{im}, []Job{job(t, im, d)}, RestoreOptions{Delta: delta, Verify: true}, &progress.Meter{})
		if err != nil {
			t.Fatal(err)
		}
		var n int64
		for _, w := range d.writes[before:] {
			n += w.Length
		}
		if n < o[0].Written {
			t.Errorf("%d bytes written, %d said", n, o[0].Written)
		}
		return o[0].Written
	}
	if got := run(false); got != int64(len(v.records))*mib {
		t.Errorf("without delta %d bytes of %d were written", got, len(v.records)*mib)
	}
	d.bytes[30*mib+5] ^= 1
	d.bytes[47*mib-1] ^= 1
	if got, want := run(true), int64(2*edge+2*same); got != want {
		t.Errorf("with delta %d bytes were written, want %d", got, want)
	}
	for _, r := range v.records {
		if !bytes.Equal(d.bytes[r.Offset:r.Offset+mib], r.Data) {
			t.Fatalf("the target differs at %d", r.Offset)
		}
	}
}

// A clone is a restore of the disk as it lies there.
func TestLive(t *testing.T) {
	for _, scheme := range []string{"gpt", "mbr", "none"} {
		source := makeDisk(t, scheme)
		m, o := survey(t, bytes.NewReader(source), int64(len(source)), Choice{})
		d := newDisk(int64(len(source)), 0xA5)
		im := Live(m, []*Origin{o})
		j := job(t, save(t, source, Choice{}), d) // the same plan
		if _, err := Restore(context.Background(), im, []Job{j}, RestoreOptions{Verify: true}, &progress.Meter{}); err != nil {
			t.Fatal(err)
		}
		checkDisk(t, source, d.bytes, m)
		if _, err := im.Open(99); err == nil {
			t.Error("volume 99 was opened")
		}
		if _, err := im.Area(0, image.Area{Name: "x"}); err == nil {
			t.Error("an area of no disk was given")
		}
	}
}

// What the source cannot give is said with its sector.
func TestLiveSourceFails(t *testing.T) {
	source := makeDisk(t, "gpt")
	m, o := survey(t, bytes.NewReader(source), int64(len(source)), Choice{})
	d := newDisk(int64(len(source)), 0)
	j := job(t, save(t, source, Choice{}), d)
	o.Reader = failing{bytes.NewReader(source), 2 * mib}
	_, err := Restore(context.Background(), Live(m, []*Origin{o}), []Job{j}, RestoreOptions{}, &progress.Meter{})
	var failure *Error
	if !errors.As(err, &failure) || !strings.Contains(err.Error(), "sector 4096 of sda") || !strings.Contains(failure.Next, "source") {
		t.Errorf("error %v", err)
	}
	if d.bytes[510] == 0x55 {
		t.Error("sector 0 looks whole")
	}
}
