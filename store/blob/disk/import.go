package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/millrace/millrace/store/blob"
)

// ErrOtherBytes says that the bytes are not those that their key names.
var ErrOtherBytes = errors.New("the bytes do not have the SHA-256 of their key")

// Import publishes bytes under the key that they had in another store, for a restore. Bytes with another SHA-256 are refused.
func (s *Store) Import(ctx context.Context, key string, r io.Reader) error {
	want, _, err := blob.SplitKey(key)
	if err != nil {
		return err
	}
	created, err := s.Create(ctx)
	if err != nil {
		return err
	}
	w := created.(*writer)
	defer w.Abort()
	if _, err := io.Copy(w, r); err != nil {
		return err
	}
	if sum, _ := w.Sum(); sum != want {
		return fmt.Errorf("import blob: %w", ErrOtherBytes)
	}
	return w.commit(ctx, key)
}

// Adopt gives a directory that holds no store yet the id of another one, so that the ledger that is restored beside it knows it.
func Adopt(dir, id string) error {
	if !idPattern.MatchString(id) {
		return fmt.Errorf("blob store id %.80q is malformed", id)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, "id"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s holds a blob store already", dir)
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(id + "\n")
	return errors.Join(err, f.Sync(), f.Close(), syncDir(dir))
}
