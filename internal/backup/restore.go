package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/millrace/millrace/store/blob"
)

// Importer takes blobs under the keys that they had.
type Importer interface {
	// Import publishes the bytes durably under key, or refuses bytes that are not what the key says.
	Import(ctx context.Context, key string, r io.Reader) error
}

// Target is where a backup is put back.
type Target struct {
	Dir string // of the server; must be empty, or not there
	// Blobs lays out a blob store with that id below Dir.
	Blobs func(id string) (Importer, error)
	// Verify says whether the ledger's copy can be opened and is whole.
	Verify func(ctx context.Context, path string) error
}

// Restore reads a stream that Write made. The ledger is put in place last, so that a restore that is cut short leaves nothing that looks like
// a server's directory; after an error the directory is empty again.
func (t *Target) Restore(ctx context.Context, r io.Reader) (Manifest, Summary, error) {
	made, err := emptyDir(t.Dir)
	if err != nil {
		return Manifest{}, Summary{}, err
	}
	m, sum, err := t.restore(ctx, r)
	if err != nil {
		err = errors.Join(err, clear(t.Dir, made))
	}
	return m, sum, err
}

// emptyDir makes the directory, or checks that it is empty, and says whether it made it.
func emptyDir(dir string) (made bool, err error) {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return true, os.MkdirAll(dir, 0o700)
	case err != nil:
		return false, err
	case len(entries) > 0:
		return false, fmt.Errorf("%s: %w", dir, ErrNotEmpty)
	}
	return false, nil
}

func clear(dir string, made bool) error {
	if made {
		return os.RemoveAll(dir)
	}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

func (t *Target) restore(ctx context.Context, r io.Reader) (m Manifest, sum Summary, err error) {
	in := tar.NewReader(r)
	if err := t.manifest(in, &m); err != nil {
		return m, sum, err
	}
	ledger := filepath.Join(t.Dir, ledgerName+".restoring")
	if sum.LedgerSHA256, err = t.ledger(in, ledger); err != nil {
		return m, sum, err
	}
	blobs, err := t.Blobs(m.BlobStore)
	if err != nil {
		return m, sum, err
	}
	for {
		if err := ctx.Err(); err != nil {
			return m, sum, err
		}
		h, err := in.Next()
		if err != nil {
			return m, sum, cut(err)
		}
		if h.Name == completeName {
			break
		}
		if err := importBlob(ctx, blobs, h, in); err != nil {
			return m, sum, err
		}
		sum.Blobs++
		sum.Bytes += h.Size
	}
	var complete Summary
	if err := readNote(in, &complete); err != nil {
		return m, sum, err
	}
	if complete.LedgerSHA256 != sum.LedgerSHA256 || complete.Blobs != sum.Blobs || complete.Bytes != sum.Bytes {
		return m, sum, fmt.Errorf("%w: it does not hold what its last entry says", ErrDamaged)
	}
	sum.Missing = complete.Missing
	if err := t.Verify(ctx, ledger); err != nil {
		return m, sum, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return m, sum, publish(ledger, filepath.Join(t.Dir, ledgerName))
}

func (t *Target) manifest(in *tar.Reader, m *Manifest) error {
	h, err := in.Next()
	if err != nil {
		return fmt.Errorf("%w: %v", ErrNotBackup, err)
	}
	if h.Name != manifestName {
		return ErrNotBackup
	}
	if err := readNote(in, m); err != nil {
		return fmt.Errorf("%w: %v", ErrNotBackup, err)
	}
	if m.Format > format {
		return fmt.Errorf("%w (its format is %d, its version %s)", ErrNewer, m.Format, m.Version)
	}
	return nil
}

func (t *Target) ledger(in *tar.Reader, path string) (sum string, err error) {
	h, err := in.Next()
	if err != nil {
		return "", cut(err)
	}
	if h.Name != ledgerName {
		return "", fmt.Errorf("%w: %q stands where the ledger should be", ErrDamaged, h.Name)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	_, err = io.Copy(io.MultiWriter(f, hash), in)
	if err != nil {
		err = cut(err)
	} else {
		err = f.Sync()
	}
	return hex.EncodeToString(hash.Sum(nil)), errors.Join(err, f.Close())
}

func importBlob(ctx context.Context, blobs Importer, h *tar.Header, in io.Reader) error {
	key, ok := strings.CutPrefix(h.Name, blobsPrefix)
	if _, _, err := blob.SplitKey(key); !ok || err != nil || h.Typeflag != tar.TypeReg {
		return fmt.Errorf("%w: it holds %.200q", ErrDamaged, h.Name)
	}
	if err := blobs.Import(ctx, key, in); err != nil {
		return fmt.Errorf("blob %s: %w", key, cut(err))
	}
	return nil
}

func readNote(in io.Reader, v any) error {
	text, err := io.ReadAll(io.LimitReader(in, maxNote))
	if err != nil {
		return cut(err)
	}
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(v); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil
}

// cut names the end of a stream before its last entry for what it is.
func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrCut
	}
	if errors.Is(err, tar.ErrHeader) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

// publish gives the ledger its name, durably.
func publish(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
