package btrfs

import (
	"os"
	"testing"

	"doppel.live/internal/filesystem/fstest"
)

func TestMain(m *testing.M) { os.Exit(fstest.Main(m)) }
