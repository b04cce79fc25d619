package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

// The three ways into a list. What is filled in is further conditions on j and the number of the last placeholder, never a value. The running
// jobs are few and are found through their workers; OFFSET 0 keeps the planner from walking the whole list for them.
const (
	listSQL = `SELECT ` + jobColumns + ` FROM jobs j WHERE j.tenant = $1%s ORDER BY j.id DESC LIMIT $%d`

	listRunningSQL = `SELECT j.* FROM ` + candidates + `, LATERAL (SELECT ` + jobColumns + runningOf + ` OFFSET 0) j
		WHERE j.tenant = $1%s ORDER BY j.id DESC LIMIT $%d`

	listTagSQL = `SELECT j.* FROM job_tags t, LATERAL (SELECT ` + jobColumns + ` FROM jobs WHERE id = t.job OFFSET 0) j
		WHERE t.tenant = $1 AND t.tag = $2%s ORDER BY t.job DESC LIMIT $%d`
)

// defaultPage is how many rows a list without a limit has.
const defaultPage = 50

// List reads a page of jobs, newest first.
func (l *Ledger) List(ctx context.Context, tenant string, f store.JobFilter) ([]*millrace.Job, error) {
	sql, args, ok := listQuery(tenant, f)
	if !ok {
		return nil, nil
	}
	ctx, cancel := reading(ctx)
	defer cancel()
	rows, err := l.pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, wrap("list jobs", err)
	}
	jobs, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*millrace.Job, error) { return scanJob(row) })
	return jobs, wrap("list jobs", err)
}

// listQuery is not ok for a filter that no job can pass.
func listQuery(tenant string, f store.JobFilter) (sql string, args []any, ok bool) {
	sql, args = listSQL, []any{tenant}
	id := "j.id"
	switch {
	case f.Tag != "":
		sql, args, id = listTagSQL, append(args, clean(f.Tag)), "t.job"
	case f.State == millrace.Running:
		sql = listRunningSQL
	}
	var where strings.Builder
	and := func(condition string, value any) {
		args = append(args, value)
		fmt.Fprintf(&where, " AND %s $%d", condition, len(args))
	}
	if f.Before != "" {
		before, ok := parseID(f.Before)
		if !ok {
			return "", nil, false
		}
		and(id+" <", before)
	}
	if f.State != "" {
		and("j.state =", clean(string(f.State)))
	}
	if f.Type != "" {
		and("j.type =", clean(f.Type))
	}
	if !f.CreatedAfter.IsZero() {
		and("j.created_at >", f.CreatedAfter)
	}
	if !f.CreatedBefore.IsZero() {
		and("j.created_at <", f.CreatedBefore)
	}
	limit := f.Limit
	if limit <= 0 {
		limit = defaultPage
	}
	args = append(args, limit)
	return fmt.Sprintf(sql, where.String(), len(args)), args, true
}
