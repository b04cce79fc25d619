package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// binaries is the directory of the binaries under test: MILLRACE_BIN, or freshly built.
var binaries string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	binaries = os.Getenv("MILLRACE_BIN")
	if binaries == "" {
		dir, err := os.MkdirTemp("", "millrace-bin-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		build := exec.Command("go", "build", "-tags", "nodynamic", "-o", dir, "./cmd/...")
		build.Dir, build.Env = "..", append(os.Environ(), "CGO_ENABLED=0")
		build.Stdout, build.Stderr = os.Stdout, os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "build the binaries:", err)
			return 1
		}
		binaries = dir
	}
	if abs, err := filepath.Abs(binaries); err == nil {
		binaries = abs
	}
	return m.Run()
}
