package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Vips returns the path of the image helper, built with libvips: that of MILLRACE_BIN where it is set, or one that is built for this test binary.
func Vips(t testing.TB) string {
	t.Helper()
	if err := exec.Command("pkg-config", "--exists", "vips").Run(); err != nil {
		missing(t, "pkg-config does not know libvips (libvips-dev)")
	}
	if dir := os.Getenv("MILLRACE_BIN"); dir != "" {
		path := filepath.Join(dir, "millrace-vips")
		if _, err := os.Stat(path); err != nil {
			t.Fatalf("MILLRACE_BIN has no image helper, though libvips is here: %v", err)
		}
		return path
	}
	path, err := buildVips()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// buildVips builds once for all tests of a binary. The file has the same name in every run, so that runs leave one file and not many.
var buildVips = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("millrace-test-vips-%d", os.Getuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("directory for the image helper: %w", err)
	}
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	// Built beside and renamed, because another test binary may be running it.
	path := filepath.Join(dir, "millrace-vips")
	fresh := fmt.Sprintf("%s.%d", path, os.Getpid())
	build := exec.Command("go", "build", "-trimpath", "-tags", "vips nodynamic", "-o", fresh, "./cmd/millrace-vips")
	build.Dir, build.Env = string(root[:len(root)-1]), append(os.Environ(), "CGO_ENABLED=1")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the image helper: %w\n%s", err, out)
	}
	return path, os.Rename(fresh, path)
})
