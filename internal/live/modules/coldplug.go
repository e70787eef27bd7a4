package modules

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// Coldplug loads the modules of every device that the kernel knows, and of
// those that appear by that, until nothing new appears. It returns how many
// modules it asked for; the error joins those of single modules, which do not
// stop the others: a driver that finds its hardware wanting is common.
//
// Drivers that look for their devices in the background find some after
// Coldplug has returned: listen for their uevents from before it starts.
func (l *Loader) Coldplug() (int, error) {
	asked := make(map[string]bool) // modules
	seen := make(map[string]bool)  // modaliases
	var errs []error
	for {
		var modules []string
		for _, modalias := range l.modaliases() {
			if seen[modalias] {
				continue
			}
			seen[modalias] = true
			found, err := l.index.resolve(modalias, l.allowed)
			if err != nil && !errors.Is(err, ErrNotFound) {
				return len(asked), err
			}
			for _, m := range found {
				if !asked[m] && !l.cipher(modalias, m) {
					asked[m] = true
					modules = append(modules, m)
				}
			}
		}
		if len(modules) == 0 {
			return len(asked), errors.Join(errs...)
		}
		errs = append(errs, l.loadAll(modules)...)
	}
}

// cipher reports whether a module only does arithmetic that this processor is
// good at: sums and ciphers, which the kernel asks for itself when they are
// used. Their self tests would keep the disks waiting.
func (l *Loader) cipher(modalias, module string) bool {
	return strings.HasPrefix(modalias, "cpu:") && strings.Contains(l.index.files[module].path, "/crypto/")
}

// loadAll loads modules, several at a time: most wait for their hardware and
// not for a processor.
func (l *Loader) loadAll(modules []string) []error {
	errs := make([]error, len(modules))
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(len(modules), 4*runtime.NumCPU()) {
		wg.Go(func() {
			for i := range next {
				errs[i] = l.loadModule(modules[i], nil)
			}
		})
	}
	for i := range modules {
		next <- i
	}
	close(next)
	wg.Wait()
	return slices.DeleteFunc(errs, func(err error) bool { return err == nil })
}

// modaliases returns what the devices below /sys/devices are called. Devices
// come and go while this reads: what is gone is passed over.
func (l *Loader) modaliases() []string {
	var found []string
	filepath.WalkDir(filepath.Join(l.sys, "devices"), func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeDir == 0 {
			return nil
		}
		if data, err := os.ReadFile(filepath.Join(p, "modalias")); err == nil {
			found = append(found, strings.TrimSpace(string(data)))
			return nil
		}
		// Some buses, such as mmc and mdio, tell it only in the event.
		data, err := os.ReadFile(filepath.Join(p, "uevent"))
		if err != nil {
			return nil
		}
		for line := range strings.Lines(string(data)) {
			if a, ok := strings.CutPrefix(line, "MODALIAS="); ok {
				found = append(found, strings.TrimSpace(a))
			}
		}
		return nil
	})
	return slices.DeleteFunc(found, func(a string) bool { return a == "" })
}
