package scheduler

import (
	"context"
	"errors"
	"time"

	"github.com/millrace/millrace/internal/fault"
)

const (
	expirePage = 500
	blobGrace  = time.Hour       // how long an unreferenced blob is left alone: somebody may be about to refer to it
	fullGrace  = 5 * time.Minute // the same where the disk is nearly full, and whoever deletes does it to make room
	orphanAge  = 24 * time.Hour  // how old bytes without a row, or temporary ones, must be
)

func (l *Leader) trim(ctx context.Context) error {
	_, err := l.Queue.Trim(ctx, l.Archive)
	return err
}

func (l *Leader) expire(ctx context.Context) error {
	if _, err := repeat(ctx, l.Ledger.ExpireJobs); err != nil {
		return err
	}
	_, err := repeat(ctx, l.Ledger.ExpireFiles)
	return err
}

func (l *Leader) expireKeys(ctx context.Context) error {
	_, err := repeat(ctx, l.Ledger.ExpireKeys)
	return err
}

// repeat takes page after page until there is no full one.
func repeat(ctx context.Context, page func(context.Context, int) (int, error)) (total int, err error) {
	for {
		n, err := page(ctx, expirePage)
		if total += n; err != nil || n < expirePage {
			return total, err
		}
	}
}

// collect removes the bytes that no file refers to: marked first, so that nobody takes them any more, removed after. One that cannot be removed
// holds up no other; while the gate is held all stay.
func (l *Leader) collect(ctx context.Context) error {
	grace := fault.Duration("blob-grace", blobGrace)
	if free, err := l.Blobs.Free(ctx); err == nil && free >= 0 && free < l.LowDisk {
		grace = min(grace, fullGrace)
	}
	for {
		dying, err := l.Ledger.DyingBlobs(ctx, grace, expirePage)
		if err != nil {
			return err
		}
		if len(dying) > 0 {
			fault.Point(fault.Marked)
		}
		var failed error
		for _, key := range dying {
			open, err := l.Gate.remove(func() error { return l.remove(ctx, key) })
			if !open {
				return failed
			}
			if err != nil && failed == nil {
				failed = err
			}
		}
		if failed != nil || len(dying) < expirePage {
			return failed
		}
	}
}

func (l *Leader) remove(ctx context.Context, key string) error {
	if err := l.Blobs.Remove(ctx, key); err != nil {
		return err
	}
	return l.Ledger.ForgetBlob(ctx, key)
}

// sweepTemporary removes the bytes that crashes left half-written. It comes often: a process killed again and again must not fill the disk.
func (l *Leader) sweepTemporary(ctx context.Context) error {
	_, err := l.Gate.remove(func() error {
		n, err := l.Blobs.Sweep(ctx, time.Now().Add(-orphanAge))
		if n > 0 {
			l.Log.Info("half-written bytes of dead processes were removed", "files", n)
		}
		return err
	})
	return err
}

// sweepBlobs removes published bytes whose row was never written, which crashes leave too. It reads the whole store.
func (l *Leader) sweepBlobs(ctx context.Context) error {
	return l.Blobs.Keys(ctx, time.Now().Add(-orphanAge), func(key string) error {
		known, err := l.Ledger.KnowsBlob(ctx, key)
		if err != nil || known {
			return err
		}
		_, err = l.Gate.remove(func() error { return l.Blobs.Remove(ctx, key) })
		return errors.Join(err, ctx.Err())
	})
}
