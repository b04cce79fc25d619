package backup

import (
	"archive/tar"
	"cmp"
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
	"time"

	"github.com/millrace/millrace/store/blob"
)

// scratchPrefix begins the names of the directories in which copies of the ledger stand while they are read. No person's begins so.
const scratchPrefix = ".backup-"

// Sweep removes from a scratch directory what backups left there whose process died. No backup may be on its way.
func Sweep(scratch string) error {
	entries, err := os.ReadDir(scratch)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), scratchPrefix) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(scratch, e.Name())))
		}
	}
	return err
}

// Source is the state of a running server.
type Source struct {
	// Copy writes a consistent copy of the ledger to a path at which there is nothing yet.
	Copy func(ctx context.Context, path string) error
	// Keys calls yield for each blob that such a copy refers to, with its size.
	Keys func(ctx context.Context, path string, yield func(key string, size int64) error) error
	// Hold keeps the collector from removing blobs until release is called.
	Hold    func(ctx context.Context) (release func(), err error)
	Blobs   blob.Store
	Scratch string // directory for the ledger's copy; on the same disk as the ledger
	Version string
	// Limit is how long a backup may take in all, since nothing is collected meanwhile and whoever reads may be slow. 0: 6 h.
	Limit time.Duration
}

// errTooLong ends a backup whose limit has passed.
var errTooLong = errors.New("the backup took longer than it may; it must be read faster")

// hasty fails once its context has ended. A write that is on its way is bounded by whoever made the writer.
type hasty struct {
	ctx context.Context
	io.Writer
}

func (h hasty) Write(p []byte) (int, error) {
	if h.ctx.Err() != nil {
		return 0, context.Cause(h.ctx)
	}
	return h.Writer.Write(p)
}

// Write streams the whole state. It begins to write only once the copy of the ledger stands; an error after that leaves a stream that Restore
// refuses as cut.
func (s *Source) Write(ctx context.Context, w io.Writer) (sum Summary, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, cmp.Or(s.Limit, 6*time.Hour), errTooLong)
	defer cancel()
	defer func() {
		if err != nil && errors.Is(context.Cause(ctx), errTooLong) {
			err = errTooLong // whatever met it
		}
	}()
	release, err := s.Hold(ctx)
	if err != nil {
		return Summary{}, fmt.Errorf("hold the collector: %w", err)
	}
	defer release()
	dir, err := os.MkdirTemp(s.Scratch, scratchPrefix)
	if err != nil {
		return Summary{}, fmt.Errorf("backup: %w", err)
	}
	defer os.RemoveAll(dir)
	copied := filepath.Join(dir, ledgerName)
	if err := s.Copy(ctx, copied); err != nil {
		return Summary{}, fmt.Errorf("copy the ledger: %w", err)
	}
	id, err := s.Blobs.ID(ctx)
	if err != nil {
		return Summary{}, err
	}
	t := &stream{tar: tar.NewWriter(hasty{ctx, w}), now: time.Now().UTC().Truncate(time.Second)}
	if err := t.note(manifestName, Manifest{Format: format, Version: s.Version, CreatedAt: t.now, BlobStore: id}); err != nil {
		return Summary{}, err
	}
	if sum.LedgerSHA256, err = t.ledger(copied); err != nil {
		return sum, err
	}
	if err := s.Keys(ctx, copied, func(key string, size int64) error { return s.blob(ctx, t, &sum, key, size) }); err != nil {
		return sum, err
	}
	return sum, errors.Join(t.note(completeName, sum), t.tar.Close())
}

// blob copies one blob. One that the store has lost, or that has not the size that the ledger says, is named and left out: the rest is worth keeping.
func (s *Source) blob(ctx context.Context, t *stream, sum *Summary, key string, size int64) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	r, err := s.Blobs.Open(ctx, key)
	if errors.Is(err, blob.ErrNotFound) {
		sum.miss(key)
		return nil
	}
	if err != nil {
		return err
	}
	defer r.Close()
	// Before its header is written, which promises the size.
	has, err := r.Seek(0, io.SeekEnd)
	if err == nil && has != size {
		sum.miss(key)
		return nil
	}
	if err == nil {
		_, err = r.Seek(0, io.SeekStart)
	}
	if err != nil {
		return fmt.Errorf("blob %s: %w", key, err)
	}
	if err := t.entry(blobsPrefix+key, size, r); err != nil {
		return fmt.Errorf("blob %s: %w", key, err)
	}
	sum.Blobs++
	sum.Bytes += size
	return nil
}

// stream is the tar being written.
type stream struct {
	tar *tar.Writer
	now time.Time
}

func (t *stream) entry(name string, size int64, r io.Reader) error {
	if err := t.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, ModTime: t.now}); err != nil {
		return err
	}
	n, err := io.Copy(t.tar, r)
	if err == nil && n != size {
		err = fmt.Errorf("has %d bytes, the ledger says %d", n, size)
	}
	return err
}

func (t *stream) note(name string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	if err := t.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(text)), Mode: 0o600, ModTime: t.now}); err != nil {
		return err
	}
	_, err = t.tar.Write(text)
	return err
}

func (t *stream) ledger(path string) (sum string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	err = t.entry(ledgerName, info.Size(), io.TeeReader(f, hash))
	return hex.EncodeToString(hash.Sum(nil)), err
}
