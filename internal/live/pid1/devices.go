package pid1

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"doppel.live/internal/live/console"
	"doppel.live/internal/live/modules"
	"doppel.live/internal/live/uevent"
)

// devices loads the drivers of what is there and of what comes.
type devices struct {
	log    *log
	loader *modules.Loader // nil: this kernel's modules are not here

	mu     sync.Mutex
	loaded map[string]bool // modaliases that events have asked for
	slots  chan struct{}   // as many events are worked on at once

	begin time.Time
	last  atomic.Int64 // when the last event came, nanoseconds after begin
	busy  atomic.Int64 // events that are being worked on
}

// openDevices finds the modules and lets the kernel ask for more of them.
func openDevices(log *log) *devices {
	d := &devices{log: log, loaded: map[string]bool{}, slots: make(chan struct{}, 8), begin: time.Now()}
	if err := os.WriteFile("/proc/sys/kernel/modprobe", []byte("/bbin/modprobe\n"), 0); err != nil {
		log.printf("the kernel cannot ask for modules: %v", err)
	}
	loader, err := modules.Open()
	if err != nil {
		log.printf("no drivers can be loaded: %v", err)
		return d
	}
	d.loader = loader
	if err := loader.MakeNodes("/dev"); err != nil {
		log.printf("devices that load their driver when opened: %v", err)
	}
	return d
}

// screen loads the drivers of the graphics adapters before all others, so that
// the menu is drawn where it will stay. Drivers of disks may wait for seconds
// for hardware that does not answer, and the menu does not wait with them.
func (d *devices) screen() {
	files, _ := filepath.Glob("/sys/bus/pci/devices/*/modalias")
	var wg sync.WaitGroup
	for _, file := range files {
		modalias, err := os.ReadFile(file)
		if err != nil || !display(string(modalias)) {
			continue
		}
		d.load(strings.TrimSpace(string(modalias)), &wg)
	}
	wg.Wait()
}

// display tells whether a PCI device is of the display class:
// pci:v00001234d00001111sv00001AF4sd00001100bc03sc00i00 is, by bc03.
func display(modalias string) bool { return strings.Contains(modalias, "bc03sc") }

// coldplug loads the drivers of all that is there, and of what those bring.
func (d *devices) coldplug() {
	d.busy.Add(1)
	defer d.busy.Add(-1)
	if d.loader == nil {
		return
	}
	begin := time.Now()
	n, err := d.loader.Coldplug()
	d.log.printf("%d drivers asked for in %v", n, time.Since(begin).Round(time.Millisecond))
	if err != nil {
		d.log.printf("drivers: %v", err)
	}
}

// follow works on events for ever.
func (d *devices) follow(l *uevent.Listener) {
	for {
		e, err := l.Next()
		d.last.Store(int64(time.Since(d.begin)))
		switch {
		case errors.Is(err, uevent.ErrLost):
			d.log.printf("too many devices at once: looking at all of them again")
			d.coldplug()
		case err != nil:
			d.log.printf("devices that come later will not be noticed: %v", err)
			return
		case e.Subsystem == "graphics" && e.Action == "add":
			fitFonts()
		case e.Action == "add" && e.Env["MODALIAS"] != "":
			d.load(e.Env["MODALIAS"], nil)
		}
	}
}

// load loads what drives a device, beside the events that come meanwhile. Who
// wants to wait for it gives a wait group.
func (d *devices) load(modalias string, wg *sync.WaitGroup) {
	d.mu.Lock()
	again := d.loaded[modalias]
	d.loaded[modalias] = true
	d.mu.Unlock()
	if again || d.loader == nil {
		return
	}
	d.busy.Add(1)
	if wg != nil {
		wg.Add(1)
	}
	go func() {
		defer d.busy.Add(-1)
		if wg != nil {
			defer wg.Done()
		}
		d.slots <- struct{}{}
		defer func() { <-d.slots }()
		if err := d.loader.Load(modalias); err != nil && !errors.Is(err, modules.ErrNotFound) {
			d.log.printf("driver of a new device: %v", err)
		}
	}()
}

// settle waits until nothing new has come for quiet, at most for limit: only a
// job that nobody attends needs to wait for the last USB disk.
func (d *devices) settle(quiet, limit time.Duration) {
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); {
		since := time.Since(d.begin) - time.Duration(d.last.Load())
		if since >= quiet && d.busy.Load() == 0 {
			return
		}
		time.Sleep(max(quiet-since, 10*time.Millisecond))
	}
}

// fitFonts gives the screens the big font once a graphics driver has taken
// over. What runs there learns of its new size by a signal.
func fitFonts() {
	for _, name := range screens() {
		if f, err := os.OpenFile("/dev/"+name, os.O_RDWR|noctty, 0); err == nil {
			_, _ = console.FitFont(f)
			f.Close()
		}
	}
}
