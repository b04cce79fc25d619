//go:build linux

package chaos_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// volume is a directory on a file system of its own, small enough to be filled.
type volume struct {
	dir     string
	limited string // why it cannot be filled, or ""
}

// newVolume mounts an ext4 file system, or where the machine does not allow that gives an ordinary directory. A shell holds the mount and removes it
// with the test, however that ends.
func newVolume(t testing.TB, megabytes int) *volume {
	t.Helper()
	dir := t.TempDir()
	v := &volume{dir: filepath.Join(dir, "volume")}
	if err := os.Mkdir(v.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		v.limited = "mounting a small file system needs root"
		return v
	}
	image := filepath.Join(dir, "image")
	script := `truncate -s "$3M" "$1" && { mkfs.ext4 -q -F "$1" && mount -o loop "$1" "$2" || mount -t tmpfs -o size="$3m" tmpfs "$2"; } >&2 && echo mounted || { echo failed; exit 1; }
		cat >/dev/null; umount -l "$2"`
	holder := exec.Command("/bin/sh", "-c", script, "volume", image, v.dir, fmt.Sprint(megabytes))
	var complaint strings.Builder
	holder.Stderr = &complaint
	hold, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 8)
	n, _ := io.ReadFull(out, answer)
	end := sync.OnceFunc(func() { hold.Close(); _ = holder.Wait() })
	if !strings.HasPrefix(string(answer[:n]), "mounted") {
		end()
		v.limited = "a small file system cannot be mounted: " + strings.TrimSpace(complaint.String())
		return v
	}
	t.Cleanup(end)
	return v
}

// fill leaves not a block, and free gives everything back.
func (v *volume) fill() error {
	f, err := os.Create(filepath.Join(v.dir, "ballast"))
	if err != nil {
		return err
	}
	defer f.Close()
	end := int64(0)
	for piece := int64(64 << 20); piece >= 4096; piece /= 2 { // ever smaller ones, until nothing fits
		for syscall.Fallocate(int(f.Fd()), 0, end, piece) == nil {
			end += piece
		}
	}
	return nil
}

func (v *volume) free() error { return os.Remove(filepath.Join(v.dir, "ballast")) }
