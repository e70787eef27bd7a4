package main

import (
	"context"

	"doppel.live/internal/store/remote"
)

// mountPlace mounts a place that the kernel serves, for this process.
func mountPlace(_ context.Context, spec string, _ remote.Credentials) (folder string, release func() error, err error) {
	return "", nil, &remote.Error{Reason: remote.Broken, What: spec + " cannot be mounted by this version", Next: "Mount it, and name the folder with --images."}
}
