// Package disk keeps blobs as files in a directory that all processes share.
//
//	<dir>/id                                  the store's id
//	<dir>/tmp/<random>                        blobs being written
//	<dir>/blobs/<first byte>/<sha256>.<salt>  published blobs, one file each
//
// A blob is published by the order of steps that survives the loss of power: write, fsync the file, close it, rename it, fsync the directory
// that now names it. Only then is its key given out. After a failed fsync the file is thrown away, because a second fsync may lie.
//
// Directories are 0700 and files 0600. The package is not for file systems without atomic rename, and it does not notice bits that rot.
package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/millrace/millrace/store/blob"
)

// Config says where the blobs live.
type Config struct {
	Dir string // made when it is not there
}

// Store is a blob.Store in a directory.
type Store struct {
	dir string
	id  string
	sys system
}

var _ blob.Store = (*Store)(nil)

// system is what can fail on a disk; tests put faults and a record of the order in its place.
type system struct {
	write   func(f *os.File, p []byte) (int, error)
	sync    func(f *os.File) error
	rename  func(from, to string) error
	syncDir func(dir string) error
}

// Open opens the store in cfg.Dir, and lays it out when the directory is new.
func Open(cfg Config) (*Store, error) {
	if cfg.Dir == "" {
		return nil, errors.New("open blob store: no directory given")
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("open blob store: %w", err)
	}
	s := &Store{dir: dir, sys: system{(*os.File).Write, (*os.File).Sync, os.Rename, syncDir}}
	if err := s.layOut(); err != nil {
		return nil, fmt.Errorf("open blob store: %w", full(err))
	}
	if s.id, err = s.openID(); err != nil {
		return nil, fmt.Errorf("open blob store: %w", full(err))
	}
	return s, nil
}

// layOut makes every directory beforehand: then publishing is one rename, and nothing races to make or remove directories.
func (s *Store) layOut() error {
	if err := os.MkdirAll(s.temp(), 0o700); err != nil {
		return err
	}
	if err := os.MkdirAll(s.blobs(), 0o700); err != nil {
		return err
	}
	for i := range 256 {
		if err := os.Mkdir(s.shard(i), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	// Also when another process made them a moment ago and has not come to its own fsync yet.
	for _, dir := range []string{s.blobs(), s.dir, filepath.Dir(s.dir)} {
		if err := s.sys.syncDir(dir); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	return nil
}

func (s *Store) temp() string       { return filepath.Join(s.dir, "tmp") }
func (s *Store) blobs() string      { return filepath.Join(s.dir, "blobs") }
func (s *Store) shard(i int) string { return filepath.Join(s.blobs(), fmt.Sprintf("%02x", i)) }

// path is where a key's bytes lie. SplitKey lets nothing but hex through, so no key leads out of the directory.
func (s *Store) path(key string) (string, error) {
	sum, salt, err := blob.SplitKey(key)
	if err != nil {
		return "", err
	}
	return filepath.Join(s.blobs(), sum[:2], sum+"."+salt), nil
}

// Open opens a published blob. The reader goes on working when the blob is removed meanwhile.
func (s *Store) Open(ctx context.Context, key string) (blob.Reader, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	path, err := s.path(key)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open blob %s: %w", key, blob.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("open blob: %w", err)
	}
	return f, nil
}

// Remove deletes a published blob. It does not wait for the disk: a blob that comes back after a power cut is unknown to the ledger, and
// the walk over Keys finds it.
func (s *Store) Remove(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	path, err := s.path(key)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove blob: %w", err)
	}
	return nil
}

// Free is the number of bytes that an ordinary user may still write.
func (s *Store) Free(ctx context.Context) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	n, err := free(s.dir)
	if err != nil {
		return 0, fmt.Errorf("free space of %s: %w", s.dir, err)
	}
	return n, nil
}

// abandonedAfter is how long a temporary file that no process holds is left alone: locks may not reach from one machine to another, and a writer
// that goes on writing must be safe there too.
const abandonedAfter = 10 * time.Minute

// Sweep removes temporary files that were last written before the given time, and sooner those whose process has died: a killed one may leave
// gigabytes. A writer that was merely slow hears of it at its Commit.
func (s *Store) Sweep(ctx context.Context, before time.Time) (int, error) {
	removed := 0
	err := walk(ctx, s.temp(), func(name string, info fs.FileInfo) error {
		path := filepath.Join(s.temp(), name)
		if !info.ModTime().Before(before) && (time.Since(info.ModTime()) < abandonedAfter || !abandoned(path)) {
			return nil
		}
		err := os.Remove(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			removed++
		}
		return err
	})
	if err != nil {
		return removed, fmt.Errorf("sweep temporary blobs: %w", err)
	}
	return removed, nil
}

// full turns the operating system's words for "no space" into the contract's.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", blob.ErrFull, err)
	}
	return err
}
