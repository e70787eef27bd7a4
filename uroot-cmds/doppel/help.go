package main

import (
	"context"
	"flag"
	"fmt"

	"doppel.live/internal/version"
)

const (
	versionHelp = "Prints the version of Doppel.\n"
	helpHelp    = "Without COMMAND it lists the commands; with it, it prints the command's manual.\nhelp places says where images can be and how that is named, help job describes\njob files and the rules that name a disk.\n"
)

func runVersion(_ context.Context, c *console, args []string) error {
	rest, err := c.parse(flag.NewFlagSet("version", flag.ContinueOnError), "version", args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return misuse("version takes no arguments")
	}
	if c.json {
		fmt.Fprintf(c.out, "{\"version\":%q}\n", version.Number)
	} else {
		fmt.Fprintln(c.out, version.Tool)
	}
	return nil
}

func runHelp(_ context.Context, c *console, args []string) error {
	rest, err := c.parse(flag.NewFlagSet("help", flag.ContinueOnError), "help", args)
	if err != nil {
		return err
	}
	if len(rest) == 0 {
		overview(c.out)
		return nil
	}
	for _, cmd := range commands() {
		if cmd.name == rest[0] {
			explain(c.out, cmd.name)
			return nil
		}
	}
	topics := map[string]string{"places": placesHelp, "job": jobHelp}
	if text := topics[rest[0]]; text != "" {
		fmt.Fprint(c.out, text)
		return nil
	}
	return misuse("there is no command %q", rest[0])
}
