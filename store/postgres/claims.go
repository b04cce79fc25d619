package postgres

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

// claims is what this process remembers of the attempts that its workers have claimed. The ledger would be right without it: it saves looking for
// what hangs on a job that has nothing, and says which jobs a worker need not be asked about any more.
type claims struct {
	mu   sync.Mutex
	jobs map[pgtype.UUID]claimNote
	done map[pgtype.UUID][]pgtype.UUID // by worker: jobs that it does not run any more, to be taken out of holds
}

// mostNotes bounds the attempts that are remembered, of which those that others ended are never asked for.
const mostNotes = 20_000

type claimNote struct {
	fence     int64 // the attempt's
	owner     pgtype.UUID
	simple    bool      // nothing hangs on its end, but perhaps on its input's
	input     string    // its only input, or ""
	started   time.Time // by the database's clock
	noted     time.Time // by our own
	retention time.Duration
}

// until is when the job would expire if it ended now, by the database's clock.
func (n claimNote) until() time.Time { return n.started.Add(time.Since(n.noted)).Add(n.retention) }

// begin notes that a worker may hold these jobs from now on. It answers what is to be taken out of holds, with the jobs themselves, so that none is
// there twice.
func (c *claims) begin(owner pgtype.UUID, todo []wanted) (done []pgtype.UUID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.jobs == nil || len(c.jobs) > mostNotes {
		c.jobs = map[pgtype.UUID]claimNote{}
	}
	if c.done == nil || len(c.done) > mostNotes {
		c.done = map[pgtype.UUID][]pgtype.UUID{}
	}
	ids := column(todo, wanted.key)
	for _, w := range todo {
		c.jobs[w.id] = claimNote{fence: w.fence + 1, owner: owner}
	}
	c.done[owner] = slices.DeleteFunc(c.done[owner], func(id pgtype.UUID) bool { return slices.Contains(ids, id) })
	return slices.Concat(c.done[owner], ids)
}

// told forgets what holds has been told.
func (c *claims) told(owner pgtype.UUID, done []pgtype.UUID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done[owner] = slices.DeleteFunc(c.done[owner], func(id pgtype.UUID) bool { return slices.Contains(done, id) })
}

// drop ends a note of this very attempt. The caller has the lock.
func (c *claims) drop(id pgtype.UUID, fence int64) {
	if n, ok := c.jobs[id]; ok && n.fence == fence {
		delete(c.jobs, id)
		c.done[n.owner] = append(c.done[n.owner], id)
	}
}

// refuse forgets claims that were refused. The job of one that is busy stays among those that the worker may hold.
func (c *claims) refuse(todo []wanted, busy map[pgtype.UUID]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range todo {
		if !busy[w.id] {
			c.drop(w.id, w.fence+1)
		}
	}
}

// note remembers what is to be known at the end of the attempts.
func (c *claims) note(rows []jobRow) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range rows {
		r := &rows[i]
		n, ok := c.jobs[r.id]
		if !ok || n.fence != r.job.Fence {
			continue
		}
		j := &r.job
		n.started, n.noted, n.retention = j.StartedAt, time.Now(), j.Retention
		n.simple = j.Unique == nil && j.Webhook == nil && j.CacheKey == "" && (len(j.Inputs) == 0 || r.input.Valid)
		if len(j.Inputs) > 0 {
			n.input = j.Inputs[0].File
		}
		c.jobs[r.id] = n
	}
}

// split tells outcomes on which nothing hangs from the others.
func (c *claims) split(rows []finishRow, files *fileCache) (plain, rest []finishRow) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range rows {
		n, ok := c.jobs[r.id]
		ends := r.outcome.Kind == store.OutcomeSucceeded || r.outcome.Kind == store.OutcomeFailed
		r.plain = ends && ok && n.fence == r.outcome.Fence && n.simple && len(r.files) == 0 && (n.input == "" || files.keeps(n.input, n.until()))
		if r.plain {
			plain = append(plain, r)
		} else {
			rest = append(rest, r)
		}
	}
	return plain, rest
}

// end forgets attempts whose outcome the ledger has, or has refused.
func (c *claims) end(rows []finishRow, files *fileCache) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range rows {
		if n, ok := c.jobs[r.id]; ok && n.input != "" && !r.plain && r.outcome.Kind == store.OutcomeSucceeded {
			files.keep(n.input, n.until().Add(sureMargin))
		}
		c.drop(r.id, r.outcome.Fence)
	}
}

// fileCache has rows of files that live jobs need, or needed.
type fileCache struct {
	mu    sync.Mutex
	files map[string]millrace.File
}

const mostFiles = 4096

func (c *fileCache) get(id string) (millrace.File, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, ok := c.files[id]
	return f, ok
}

func (c *fileCache) put(f millrace.File) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.files == nil || len(c.files) >= mostFiles {
		c.files = map[string]millrace.File{}
	}
	c.files[f.ID] = f
}

// keeps says whether the file is known to live that long.
func (c *fileCache) keeps(id string, until time.Time) bool {
	f, ok := c.get(id)
	return ok && (f.ExpiresAt.IsZero() || f.ExpiresAt.After(until))
}

// keep notes that the file lives that long at least.
func (c *fileCache) keep(id string, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f, ok := c.files[id]; ok && !f.ExpiresAt.IsZero() && f.ExpiresAt.Before(until) {
		f.ExpiresAt = until
		c.files[id] = f
	}
}

const (
	untidySQL = `SELECT worker FROM holds h WHERE cardinality(jobs) > 1000 OR NOT EXISTS (SELECT 1 FROM workers w WHERE w.id = h.worker)
		ORDER BY worker FOR UPDATE SKIP LOCKED`

	// Both are statements that begin when the rows are locked, so they see every claim that is in them.
	trimHoldsSQL = `UPDATE holds h SET jobs = ARRAY(SELECT x.job FROM unnest(h.jobs) AS x (job), LATERAL (
		SELECT 1 FROM jobs j WHERE j.id = x.job AND j.state = 'running' AND coalesce(j.worker_id, j.owner) = h.worker OFFSET 0) r)
		WHERE h.worker = ANY ($1)`
	dropHoldsSQL = `DELETE FROM holds h WHERE h.worker = ANY ($1) AND cardinality(h.jobs) = 0
		AND NOT EXISTS (SELECT 1 FROM workers w WHERE w.id = h.worker)`
)

// tidyHolds takes out of holds what was not taken out by the worker itself, and the rows of workers that are gone.
func (l *Ledger) tidyHolds(ctx context.Context) error {
	return again(ctx, "tidy up", func(ctx context.Context) error {
		return pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
			rows, err := tx.Query(ctx, untidySQL)
			if err != nil {
				return err
			}
			workers, err := pgx.CollectRows(rows, pgx.RowTo[pgtype.UUID])
			if err != nil || len(workers) == 0 {
				return err
			}
			var batch pgx.Batch
			batch.Queue(trimHoldsSQL, workers)
			batch.Queue(dropHoldsSQL, workers)
			return tx.SendBatch(ctx, &batch).Close()
		})
	})
}
