package disk

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/store/blob"
)

// errEnded is what a writer answers after Commit or Abort.
var errEnded = errors.New("blob writer was used after its end")

// writer is one temporary file. Its hash has seen exactly the bytes that the file has.
type writer struct {
	store *Store
	file  *os.File // nil after the end
	sum   hash.Hash
	size  int64
	err   error // the first failure; the blob can only be aborted then
}

// Create begins a blob in a temporary file.
func (s *Store) Create(ctx context.Context) (blob.Writer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(s.temp(), rand.Text()), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create blob: %w", full(err))
	}
	hold(f)
	return &writer{store: s, file: f, sum: sha256.New()}, nil
}

func (w *writer) Write(p []byte) (int, error) {
	if w.file == nil {
		return 0, errEnded
	}
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.store.sys.write(w.file, p)
	w.sum.Write(p[:n])
	w.size += int64(n)
	if err != nil {
		w.err = fmt.Errorf("write blob: %w", full(err))
	}
	return n, w.err
}

func (w *writer) Sum() (string, int64) { return hex.EncodeToString(w.sum.Sum(nil)), w.size }

// Commit publishes the bytes. Whatever fails on the way, neither the temporary file nor the published one is left.
func (w *writer) Commit(ctx context.Context) (string, error) {
	sum, _ := w.Sum()
	key := blob.NewKey(sum)
	if err := w.commit(ctx, key); err != nil {
		return "", err
	}
	return key, nil
}

func (w *writer) commit(ctx context.Context, key string) error {
	if w.file == nil {
		return errEnded
	}
	f := w.file
	w.file = nil
	err := errors.Join(ctx.Err(), w.err)
	if err == nil {
		err = errors.Join(w.store.sys.sync(f), fault.Error(fault.Fsync))
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = w.store.publish(f.Name(), key)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("publish blob: %w", full(err)), remove(f.Name()))
	}
	return nil
}

// publish gives the temporary file its final name and makes that name durable.
func (s *Store) publish(temp, key string) error {
	path, err := s.path(key)
	if err != nil {
		return err
	}
	if err := s.sys.rename(temp, path); err != nil {
		return err
	}
	fault.Point(fault.Publishing)
	if err := s.sys.syncDir(filepath.Dir(path)); err != nil {
		return errors.Join(err, remove(path))
	}
	return nil
}

func (w *writer) Abort() error {
	if w.file == nil {
		return nil
	}
	f := w.file
	w.file = nil
	f.Close() // nobody reads this file again: an error changes nothing
	return remove(f.Name())
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
