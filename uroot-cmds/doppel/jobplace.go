package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"

	"doppel.live/internal/live/fetch"
	"doppel.live/internal/progress"
	"doppel.live/internal/store/remote"
)

// usePlace makes the steps find their images: in the live system the place is
// mounted, elsewhere every step is told where it is.
func (r *jobRun) usePlace(ctx context.Context) error {
	if r.job.Images == "" {
		return nil
	}
	var file string
	if r.job.Credentials != "" {
		var forget func()
		var err error
		if file, forget, err = r.credentials(ctx); err != nil {
			return err
		}
		r.forget = append(r.forget, forget)
	}
	argv := []string{"place", "use", r.job.Images, "--wait", arrival.String(), "--json"}
	if file != "" {
		argv = append(argv, "--credentials", file)
	}
	if !live() {
		r.place = placeFlags{r.job.Images, file}
		return nil
	}
	r.report(progress.Event{Kind: progress.Step, Text: "using the place for images " + r.job.Images})
	status, text := r.program(ctx, exec.Command(argv[0], argv[1:]...))
	if status == done {
		return nil
	}
	var answer struct{ Error, Next string }
	if json.Unmarshal([]byte(text), &answer) == nil && answer.Error != "" {
		r.last.Next, text = answer.Next, answer.Error
	}
	return errors.New(text)
}

// online brings the network up where it is not: the command line of the kernel
// named nothing that needs it.
func (r *jobRun) online(ctx context.Context) error {
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			return nil
		}
	}
	if status, text := r.program(ctx, exec.Command("network", "up")); status != done {
		return errors.New(text)
	}
	return nil
}

// credentials puts the credentials of the place where only root can read them,
// and gives the name of that file and a function that removes it.
func (r *jobRun) credentials(ctx context.Context) (file string, forget func(), err error) {
	ref, err := fetch.Parse(r.job.Credentials)
	if err != nil {
		return "", nil, fmt.Errorf("credentials: %w", err)
	}
	if ref.Open() {
		return "", nil, errors.New("credentials by http can be read by anybody on the way: use https, or a file on the medium")
	}
	if ref.NeedsNetwork() && live() {
		if err := r.online(ctx); err != nil {
			return "", nil, fmt.Errorf("credentials: %w", err)
		}
	}
	data, err := read(ctx, ref, 64<<10)
	if err != nil {
		return "", nil, fmt.Errorf("credentials: %w", err)
	}
	c, err := remote.ReadCredentials(strings.NewReader(string(data)))
	if err != nil {
		return "", nil, err
	}
	r.secrets = c.Secrets()
	dir := "/run"
	if _, err := os.Stat(dir); err != nil || os.Geteuid() != 0 {
		dir = os.Getenv("XDG_RUNTIME_DIR") // "" is the folder for temporary files
	}
	f, err := os.CreateTemp(dir, "doppel-credentials-") // mode 0600
	if err != nil {
		return "", nil, err
	}
	_, err = f.Write(data)
	return f.Name(), func() { os.Remove(f.Name()) }, errors.Join(err, f.Close())
}
