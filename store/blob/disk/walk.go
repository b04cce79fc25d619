package disk

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/millrace/millrace/store/blob"
)

// Keys calls yield for each published blob last written before the given time.
func (s *Store) Keys(ctx context.Context, before time.Time, yield func(key string) error) error {
	for i := range 256 {
		err := walk(ctx, s.shard(i), func(name string, info fs.FileInfo) error {
			sum, salt, _ := strings.Cut(name, ".")
			key := sum + "/" + salt
			if _, _, err := blob.SplitKey(key); err != nil || !info.ModTime().Before(before) {
				return nil // too young, or no file of ours
			}
			return yield(key)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// walkStep bounds how many names are in memory at once.
const walkStep = 512

// walk calls visit for each regular file of a directory, in no order. Files that vanish meanwhile are passed over.
func walk(ctx context.Context, dir string, visit func(name string, info fs.FileInfo) error) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		entries, err := d.ReadDir(walkStep)
		for _, e := range entries {
			if err := ctx.Err(); err != nil {
				return err
			}
			info, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			if !info.Mode().IsRegular() {
				continue
			}
			if err := visit(e.Name(), info); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
	}
}
