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
// what hangs on a job that has nothing, and says which attempts holds need not list any more.
type claims struct {
	mu   sync.Mutex
	jobs map[pgtype.UUID]claimNote
	done map[pgtype.UUID][]attempt // by worker: what has ended and is still in holds
}

// attempt is a job with the fence of one claim.
type attempt struct {
	job   pgtype.UUID
	fence int64
}

func (a attempt) key() pgtype.UUID { return a.job }
func (a attempt) number() int64    { return a.fence }

// mostNotes bounds the attempts that are remembered, of which those that others ended are never asked for.
const mostNotes = 20_000

type claimNote struct {
	fence     int64 // the attempt's
	owner     pgtype.UUID
	simple    bool      // nothing hangs on its end, but perhaps on its input's
	leads     bool      // perhaps
	input     string    // its only input, or ""
	started   time.Time // by the database's clock
	noted     time.Time // by our own
	retention time.Duration
}

// until is when the job would expire if it ended now, by the database's clock.
func (n claimNote) until() time.Time { return n.started.Add(time.Since(n.noted)).Add(n.retention) }

// begin answers what a claim takes out of holds, each job once: the attempts that are about to be put there, so that none is there twice, and those
// that have ended.
func (c *claims) begin(owner pgtype.UUID, todo []wanted) (done []attempt) {
	c.mu.Lock()
	defer c.mu.Unlock()
	once := make(map[pgtype.UUID]bool, len(todo)+len(c.done[owner]))
	add := func(a attempt) {
		if !once[a.job] {
			once[a.job] = true
			done = append(done, a)
		}
	}
	for _, w := range todo {
		add(attempt{w.id, w.fence + 1})
	}
	for _, a := range c.done[owner] {
		add(a)
	}
	return done
}

// told forgets what holds has been told.
func (c *claims) told(owner pgtype.UUID, done []attempt) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rest := slices.DeleteFunc(c.done[owner], func(a attempt) bool { return slices.Contains(done, a) })
	if len(rest) == 0 {
		delete(c.done, owner)
	} else {
		c.done[owner] = rest
	}
}

// over notes an attempt that runs no more. The caller has the lock.
func (c *claims) over(owner pgtype.UUID, a attempt) {
	if c.done == nil || len(c.done) > mostNotes {
		c.done = map[pgtype.UUID][]attempt{}
	}
	c.done[owner] = append(c.done[owner], a)
}

// refuse notes claims that were refused, except of jobs that are busy: the worker runs them.
func (c *claims) refuse(owner pgtype.UUID, todo []wanted, busy map[pgtype.UUID]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range todo {
		if !busy[w.id] {
			c.over(owner, attempt{w.id, w.fence + 1})
		}
	}
}

// note remembers what is to be known at the end of the attempts.
func (c *claims) note(owner pgtype.UUID, rows []jobRow) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.jobs == nil || len(c.jobs) > mostNotes {
		c.jobs = map[pgtype.UUID]claimNote{}
	}
	for i := range rows {
		r, j := &rows[i], &rows[i].job
		n := claimNote{fence: j.Fence, owner: owner, started: j.StartedAt, noted: time.Now(), retention: j.Retention}
		n.simple = j.Unique == nil && j.Webhook == nil && j.CacheKey == "" && (len(j.Inputs) == 0 || r.input.Valid)
		n.leads = j.CacheKey != ""
		if len(j.Inputs) > 0 {
			n.input = j.Inputs[0].File
		}
		if c.jobs[r.id].fence <= n.fence {
			c.jobs[r.id] = n
		}
	}
}

// split tells outcomes on which nothing hangs from the others.
func (c *claims) split(rows []finishRow, files *fileCache) (plain, rest []finishRow) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range rows {
		n, ok := c.jobs[r.id]
		r.alone = ok && n.fence == r.outcome.Fence && !n.leads
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
func (c *claims) end(rows []finishRow, won []bool, files *fileCache) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range rows {
		n, ok := c.jobs[r.id]
		if !ok || n.fence != r.outcome.Fence {
			continue
		}
		if n.input != "" && won[r.n] && !r.plain && r.outcome.Kind == store.OutcomeSucceeded {
			files.keep(n.input, n.until().Add(sureMargin))
		}
		delete(c.jobs, r.id)
		c.over(n.owner, attempt{r.id, r.outcome.Fence})
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
	trimHoldsSQL = `UPDATE holds h SET (jobs, fences) = (
		SELECT coalesce(array_agg(c.job), '{}'), coalesce(array_agg(c.fence), '{}')
		FROM (SELECT h.worker, unnest(h.jobs) AS job, unnest(h.fences) AS fence) c, LATERAL (SELECT 1` + runningOf + ` OFFSET 0) r)
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
