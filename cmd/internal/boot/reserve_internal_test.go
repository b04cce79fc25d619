package boot

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/millrace/millrace/store/blob"
	"github.com/millrace/millrace/store/blob/disk"
)

// measured is a blob store on a disk with as much room as a test says.
type measured struct {
	blob.Store
	free int64
}

func (m *measured) Free(context.Context) (int64, error) { return m.free, nil }

func TestReserveIsSpentOnAFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	real, err := disk.Open(disk.Config{Dir: filepath.Join(dir, "blobs")})
	if err != nil {
		t.Fatal(err)
	}
	blobs := &measured{Store: real}
	path := filepath.Join(dir, reserveName)
	r := &reserve{path: path, blobs: blobs, log: slog.New(slog.DiscardHandler)}
	for _, step := range []struct {
		name    string
		free    int64
		size    int64 // of the file, -1: none
		refused bool
	}{
		{"too little room to begin with", 100 << 20, -1, false},
		{"full without a reserve", 1 << 20, -1, false},
		{"room", 1 << 30, reserveSize, false},
		{"little room", 20 << 20, reserveSize, false},
		{"full", 1 << 20, 0, true},
		{"what the reserve gave", 65 << 20, 0, true},
		{"some room", 100 << 20, 0, false},
		{"full again, nothing to spend", 1 << 20, 0, true},
		{"room again", 1 << 30, reserveSize, false},
	} {
		blobs.free = step.free
		if err := r.look(t.Context()); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		size := int64(-1)
		if info, err := os.Stat(path); err == nil {
			size = info.Size()
		}
		if size != step.size {
			t.Errorf("%s: the reserve has %d bytes, want %d", step.name, size, step.size)
		}
		w, err := withReserve{blobs, r}.Create(t.Context())
		if errors.Is(err, blob.ErrFull) != step.refused {
			t.Errorf("%s: an upload: %v, want it refused: %v", step.name, err, step.refused)
		}
		if err == nil {
			_ = w.Abort()
		}
	}
}
