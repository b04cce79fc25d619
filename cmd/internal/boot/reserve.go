package boot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/store/blob"
)

// A ledger on a full disk could neither write down outcomes nor delete what would make room. So an embedded server keeps a file that it can do
// without: when the disk is full the file is cut, uploads are refused, and what remains is the ledger's and the workers'.
const (
	reserveName = "reserve"
	reserveSize = 64 << 20
	reserveLeft = 16 << 20  // so few bytes are a full disk
	reserveRoom = 256 << 20 // what must be left when the reserve is made
)

// reserve is the file. One of no bytes says that it was spent, also to the next start.
type reserve struct {
	path  string
	blobs blob.Store // on the same disk
	log   *slog.Logger
	spent atomic.Bool // and the disk is as full as it was
}

// run looks after the reserve until ctx ends.
func (r *reserve) run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	said := false
	for {
		if err := r.look(ctx); err == nil {
			said = false
		} else if !said && ctx.Err() == nil {
			said = true
			r.log.Warn("cannot keep a reserve on the disk", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look spends the reserve on a full disk and makes it where there is room.
func (r *reserve) look(ctx context.Context) error {
	free, err := r.blobs.Free(ctx)
	if err != nil || free < 0 {
		return err
	}
	size := int64(-1) // there never was one
	if info, err := os.Stat(r.path); err == nil {
		size = info.Size()
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	switch {
	case size > 0 && free < reserveLeft:
		if err := os.Truncate(r.path, 0); err != nil {
			return err
		}
		r.log.Warn("the disk is full: its reserve is given to the ledger, uploads are refused until there is room", "free", free)
		size = 0
	case size < reserveSize && free > reserveSize+reserveRoom:
		if err := makeReserve(r.path); err != nil {
			return errors.Join(err, os.Truncate(r.path, max(0, size)))
		}
		size = reserveSize
	}
	r.spent.Store(size == 0 && free < reserveSize+reserveLeft)
	return nil
}

func makeReserve(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(allocate(f, reserveSize), f.Close())
}

// fill takes room for a file by writing it.
func fill(f *os.File, size int64) error {
	block := make([]byte, 1<<20)
	for at := int64(0); at < size; at += int64(len(block)) {
		if _, err := f.WriteAt(block, at); err != nil {
			return err
		}
	}
	return nil
}

// withReserve is a blob store that takes nothing new in while the reserve is spent.
type withReserve struct {
	blob.Store
	reserve *reserve
}

// Create implements blob.Store.
func (s withReserve) Create(ctx context.Context) (blob.Writer, error) {
	if s.reserve.spent.Load() {
		return nil, fmt.Errorf("the reserve of the disk is in use: %w", blob.ErrFull)
	}
	return s.Store.Create(ctx)
}

// keepReserve adds the reserve to core, where ledger and files share a disk.
func (e *embeddedStores) keepReserve() {
	c := e.process.config
	if c.BlobURL != "" || c.Database != "" {
		return
	}
	r := &reserve{path: filepath.Join(c.DataDir, reserveName), blobs: e.blobs, log: e.process.log}
	e.services = append(e.services, r.run)
	e.blobs = withReserve{e.blobs, r}
}
