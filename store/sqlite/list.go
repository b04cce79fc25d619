package sqlite

import (
	"context"
	"fmt"
	"math"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

// Three ways through the jobs of a tenant ?1, newest first: all of them, those with a tag, and the few that run.
const (
	listAll     = `SELECT ` + jobColumns + ` FROM jobs INDEXED BY jobs_list WHERE tenant = ?1 AND id < ?2 ` + listRest
	listRunning = `SELECT ` + jobColumns + ` FROM jobs INDEXED BY jobs_owner WHERE worker_id IS NOT NULL AND tenant = ?1 AND id < ?2 ` + listRest
	listTagged  = `SELECT ` + jobColumns + ` FROM jobs WHERE id IN
		(SELECT job FROM job_tags WHERE tenant = ?1 AND tag = ?8 AND job < ?2) AND tenant = ?1 ` + listRest

	listRest = `AND (?3 = '' OR state = ?3) AND (?4 = '' OR type = ?4) AND created_at >= ?5 AND created_at <= ?6 ORDER BY id DESC LIMIT ?7`
)

// lastID is above every id.
const lastID = "~"

// List implements store.Jobs.
func (l *Ledger) List(ctx context.Context, tenant string, f store.JobFilter) ([]*millrace.Job, error) {
	before, limit := f.Before, f.Limit
	if before == "" {
		before = lastID
	}
	if limit <= 0 {
		limit = -1
	}
	from, to := int64(math.MinInt64), int64(math.MaxInt64)
	if !f.CreatedAfter.IsZero() {
		from = f.CreatedAfter.UnixMilli()
	}
	if !f.CreatedBefore.IsZero() {
		to = f.CreatedBefore.UnixMilli()
	}
	query, args := listAll, []any{tenant, before, string(f.State), f.Type, from, to, limit}
	switch {
	case f.Tag != "":
		query, args = listTagged, append(args, f.Tag)
	case f.State == millrace.Running:
		query = listRunning
	}
	var jobs []*millrace.Job
	err := each(func(row scanner) error {
		j, err := scanJob(row)
		jobs = append(jobs, j)
		return err
	})(l.reads.QueryContext(ctx, query, args...))
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	return jobs, nil
}
