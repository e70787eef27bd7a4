package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"doppel.live/internal/live/clock"
	"doppel.live/internal/live/cmdline"
	"doppel.live/internal/live/network"
	"golang.org/x/sys/unix"
)

// Files in the live system.
const (
	jobLock    = "/run/doppel/job.lock" // held, shared, while a job runs
	clockLock  = "/run/doppel/clock.lock"
	clockFile  = "/run/doppel/clock.json" // what became of the clock
	clockLimit = 15 * time.Second         // for the clock at start, before a job
)

func kernelLine() (cmdline.Config, error) {
	line, err := os.ReadFile("/proc/cmdline")
	return cmdline.Parse(string(line)), err
}

// start does what the kernel command line says. What does not work is said, and
// the rest is done all the same.
func start(out io.Writer, wait time.Duration) error {
	config, err := kernelLine()
	if err != nil {
		return err
	}
	links, todo, problems := read(config)
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	problems = append(problems, links.Make(ctx))
	for _, s := range todo {
		s.DNS = append(s.DNS, links.DNS...)
		problems = append(problems, bringUp(out, s, wait))
	}
	problems = append(problems, links.MakeRoutes())
	limited, stop := context.WithTimeout(context.Background(), clockLimit)
	defer stop()
	if err := setClock(limited, out, nil); err != nil {
		fmt.Fprintf(out, "the clock is not set: %v\n", err) // no reason to do without the network
	}
	return errors.Join(problems...)
}

// read takes the parameters of the network apart: links, and how addresses are
// got, given ones first, since nothing is waited for then.
func read(config cmdline.Config) (links network.Links, todo []network.Settings, problems []error) {
	for _, p := range config.Links {
		problems = append(problems, links.Take(p.Key, p.Value))
	}
	for _, ip := range config.IP {
		list, err := network.ParseIP(ip)
		problems = append(problems, err)
		todo = append(todo, list...)
	}
	for i := range todo {
		if todo[i].Device == "" {
			todo[i].Device = links.BootMAC
		}
		if todo[i].Hostname == "" {
			todo[i].Hostname = config.Hostname
		}
	}
	slices.SortStableFunc(todo, func(a, b network.Settings) int {
		switch {
		case a.Static() == b.Static():
			return 0
		case a.Static():
			return -1
		}
		return 1
	})
	return links, todo, problems
}

// setClock sets the clock by the first server that answers, once no job runs.
func setClock(ctx context.Context, out io.Writer, servers []string) error {
	alone, err := os.OpenFile(clockLock, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer alone.Close() // two at once would step it twice
	if err := unix.Flock(int(alone.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	servers, err = clockServers(servers)
	if err != nil {
		return err
	}
	for {
		answer, err := clock.Ask(ctx, servers)
		if err != nil {
			return err
		}
		applied, err := applyIdle(&answer)
		if err != nil {
			return err
		}
		if applied {
			fmt.Fprintln(out, answer.Say())
			data, _ := json.Marshal(answer)
			return os.WriteFile(clockFile, data, 0o644)
		}
		select {
		case <-ctx.Done():
			return errors.New("a job runs")
		case <-time.After(10 * time.Second):
		}
	}
}

// applyIdle sets the clock unless a job runs.
func applyIdle(a *clock.Answer) (bool, error) {
	f, err := os.OpenFile(jobLock, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return false, err
	}
	defer f.Close()
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return false, nil
	}
	return true, a.Apply(nil)
}

// clockServers gives whom to ask: those given, those of the kernel command
// line, those of DHCP, or the public ones.
func clockServers(given []string) ([]string, error) {
	if len(given) > 0 {
		return given, nil
	}
	if config, err := kernelLine(); err == nil && len(config.NTP) > 0 {
		return config.NTP, nil
	}
	leases, err := network.System{}.Leases()
	if err != nil {
		return nil, err
	}
	var servers []string
	for _, l := range leases {
		for _, a := range l.NTP {
			servers = append(servers, a.String())
		}
	}
	if len(servers) == 0 {
		servers = []string{clock.Fallback}
	}
	return servers, nil
}

// clockState is what became of the clock, nil where nothing did.
func clockState() *clock.Answer {
	data, err := os.ReadFile(clockFile)
	if err != nil {
		return nil
	}
	var a clock.Answer
	if json.Unmarshal(data, &a) != nil {
		return nil
	}
	return &a
}
