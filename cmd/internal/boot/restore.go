package boot

import (
	"context"
	"errors"
	"io"

	"github.com/millrace/millrace/internal/backup"
	"github.com/millrace/millrace/store/blob/disk"
	"github.com/millrace/millrace/store/sqlite"
)

// writeBackup is what POST /v1/backup streams.
func (e *embeddedStores) writeBackup(ctx context.Context, w io.Writer) error {
	source := backup.Source{Copy: e.copy, Keys: sqlite.Blobs, Hold: e.gate.Hold, Blobs: e.blobs, Scratch: e.process.config.DataDir, Version: version}
	sum, err := source.Write(ctx, w)
	if err == nil {
		e.process.log.Info("backup written", "blobs", sum.Blobs, "bytes", sum.Bytes, "missing", len(sum.Missing))
	}
	return err
}

// Restored says what a backup held.
type Restored = backup.Summary

// Restore puts a backup into an empty data directory, from which serve starts as if it had never stopped.
func Restore(ctx context.Context, dir string, r io.Reader) (Restored, error) {
	c := Config{DataDir: dir}
	t := backup.Target{Dir: dir, Verify: sqlite.Verify, Blobs: func(id string) (backup.Importer, error) {
		if err := disk.Adopt(c.blobDir(), id); err != nil {
			return nil, err
		}
		return disk.Open(disk.Config{Dir: c.blobDir()})
	}}
	_, sum, err := t.Restore(ctx, r)
	if errors.Is(err, backup.ErrNotEmpty) {
		return sum, configError("--data-dir: %v", err)
	}
	return sum, err
}
