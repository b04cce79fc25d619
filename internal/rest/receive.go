package rest

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/media"
	"github.com/millrace/millrace/store/blob"
)

const chunkSize = 256 << 10

func newChunk() any {
	b := make([]byte, chunkSize)
	return &b
}

// publishTimeout bounds the steps after the last byte, which go on when the client leaves: half of them would be garbage to collect. Ten
// gigabytes reach a slow disk in minutes.
const publishTimeout = 10 * time.Minute

// received is a file whose bytes are here and which does not exist yet. The caller ends it with publish or drop.
type received struct {
	blob blob.Writer
	name string
	head []byte
	done bool
}

// drop throws the bytes away unless they were published. It may be called again.
func (r *received) drop() {
	if !r.done {
		r.done = true
		_ = r.blob.Abort() // what it leaves behind is swept
	}
}

// receive streams body into a temporary blob, chunk by chunk. left is what the request may still bring; it is lowered by what came.
func (s *Server) receive(ctx context.Context, body io.Reader, name string, left *int64) (*received, error) {
	w, err := s.Blobs.Create(ctx)
	if err != nil {
		return nil, fromBlobs(err)
	}
	r := &received{blob: w, name: media.CleanName(name)}
	chunk := s.chunks.Get().(*[]byte)
	defer s.chunks.Put(chunk)
	for {
		n, err := body.Read(*chunk)
		if *left -= int64(n); *left < 0 {
			r.drop()
			return nil, s.uploadTooLarge()
		}
		if missing := media.SniffLen - len(r.head); missing > 0 {
			r.head = append(r.head, (*chunk)[:min(n, missing)]...)
		}
		if _, werr := w.Write((*chunk)[:n]); werr != nil {
			r.drop()
			return nil, fromBlobs(werr)
		}
		if errors.Is(err, io.EOF) {
			return r, nil
		}
		if err != nil {
			r.drop()
			return nil, brokenBody(err)
		}
	}
}

func (s *Server) uploadTooLarge() error {
	return millrace.Errorf(millrace.TooLarge, "an upload may have at most %d bytes", s.Limits.Upload)
}

// publish makes a file of what was received: its bytes durable first, its row after. Bytes that the tenant has already are not kept twice.
// With an idempotency key, which may be nil, a file that was made under it before is no file of this call: *store.ReplayedError.
func (s *Server) publish(ctx context.Context, owner string, r *received, signed *requestKey) (millrace.File, error) {
	defer r.drop()
	sum, size := r.blob.Sum()
	key, known, err := s.Ledger.TakeBlob(ctx, owner, sum)
	if err != nil {
		return millrace.File{}, fromLedger(err)
	}
	if !known {
		if key, err = r.blob.Commit(ctx); err != nil {
			return millrace.File{}, fromBlobs(err)
		}
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	f := millrace.File{
		ID: uuid.Must(uuid.NewV7()).String(), Tenant: owner, Name: r.name, Size: size, SHA256: sum,
		ContentType: media.ContentType(r.head), Blob: key, CreatedAt: now, ExpiresAt: now.Add(s.Limits.Unused),
	}
	// When this fails the bytes are an orphan that the collector finds. Removing them here could take them from a row whose commit was not heard.
	return f, fromLedger(s.Ledger.CreateFile(ctx, f, s.fileKey(signed, f)))
}

// detached is the context of what must be finished once it has begun.
func detached(c echo.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(c.Request().Context()), publishTimeout)
}
