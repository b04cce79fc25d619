package postgres

import (
	"cmp"
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

const scheduleColumns = `tenant, name, cron, timezone, catch_up, paused, job, next_run_at, last_run_at, last_job, last_error, version,
	created_at, updated_at`

// scanSchedule reads scheduleColumns, and what the query selects after them into more.
func scanSchedule(row pgx.Row, more ...any) (s millrace.Schedule, err error) {
	var (
		job        []byte
		next, last *time.Time
	)
	err = row.Scan(append([]any{&s.Tenant, &s.Name, &s.Cron, &s.Timezone, &s.CatchUp, &s.Paused, &job, &next, &last, &s.LastJob, &s.LastError,
		&s.Version, &s.CreatedAt, &s.UpdatedAt}, more...)...)
	if err != nil {
		return millrace.Schedule{}, err
	}
	s.Job, s.NextRunAt, s.LastRunAt = job, orZero(next), orZero(last)
	s.CreatedAt, s.UpdatedAt = s.CreatedAt.UTC(), s.UpdatedAt.UTC()
	return s, nil
}

// putScheduleSQL leaves alone what the ticks have written. xmax is 0 in a row that was inserted.
const putScheduleSQL = `
INSERT INTO schedules (tenant, name, cron, timezone, catch_up, paused, job, next_run_at, version)
VALUES ($1, $2, $3, $4, $5, $6, $7::json, $8, nextval('schedule_versions'))
ON CONFLICT (tenant, name) DO UPDATE SET cron = EXCLUDED.cron, timezone = EXCLUDED.timezone, catch_up = EXCLUDED.catch_up,
	paused = EXCLUDED.paused, job = EXCLUDED.job, next_run_at = EXCLUDED.next_run_at, version = EXCLUDED.version, updated_at = now()
RETURNING ` + scheduleColumns + `, xmax = 0`

// PutSchedule creates the schedule or replaces it.
func (l *Ledger) PutSchedule(ctx context.Context, s millrace.Schedule) (stored millrace.Schedule, created bool, err error) {
	err = again(ctx, "put schedule", func(ctx context.Context) error {
		stored, err = scanSchedule(l.pool.QueryRow(ctx, putScheduleSQL, s.Tenant, s.Name, s.Cron, s.Timezone, string(s.CatchUp), s.Paused,
			cmp.Or(string(s.Job), "null"), orNever(s.NextRunAt)), &created)
		return err
	})
	return stored, created, err
}

const scheduleSQL = `SELECT ` + scheduleColumns + ` FROM schedules WHERE tenant = $1 AND name = $2`

// Schedule reads one.
func (l *Ledger) Schedule(ctx context.Context, tenant, name string) (millrace.Schedule, error) {
	ctx, cancel := reading(ctx)
	defer cancel()
	s, err := scanSchedule(l.pool.QueryRow(ctx, scheduleSQL, tenant, clean(name)))
	return s, wrap("read schedule", err)
}

const listSchedulesSQL = `SELECT ` + scheduleColumns + ` FROM schedules WHERE tenant = $1 AND name > $2 ORDER BY name LIMIT $3`

// ListSchedules reads a page by name.
func (l *Ledger) ListSchedules(ctx context.Context, tenant, after string, limit int) ([]millrace.Schedule, error) {
	if limit <= 0 {
		limit = defaultPage
	}
	ctx, cancel := reading(ctx)
	defer cancel()
	rows, err := l.pool.Query(ctx, listSchedulesSQL, tenant, clean(after), limit)
	if err != nil {
		return nil, wrap("list schedules", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (millrace.Schedule, error) { return scanSchedule(row) })
	return all, wrap("list schedules", err)
}

const deleteScheduleSQL = `DELETE FROM schedules WHERE tenant = $1 AND name = $2`

// DeleteSchedule removes one.
func (l *Ledger) DeleteSchedule(ctx context.Context, tenant, name string) error {
	return again(ctx, "delete schedule", func(ctx context.Context) error {
		tag, err := l.pool.Exec(ctx, deleteScheduleSQL, tenant, clean(name))
		if err == nil && tag.RowsAffected() == 0 {
			return store.ErrNotFound
		}
		return err
	})
}

const (
	nowSQL = `SELECT now()`

	dueSchedulesSQL = `SELECT ` + scheduleColumns + ` FROM schedules
		WHERE next_run_at <= now() AND (next_run_at, tenant, name) > ($1::timestamptz, $2::text, $3::text) AND NOT paused
		ORDER BY next_run_at, tenant, name LIMIT $4`
)

// DueSchedules lists the schedules whose time has come, and says what time it is. Both statements are one transaction, which has one time.
func (l *Ledger) DueSchedules(ctx context.Context, after store.Due, limit int) (due []millrace.Schedule, now time.Time, err error) {
	ctx, cancel := reading(ctx)
	defer cancel()
	var batch pgx.Batch
	batch.Queue(nowSQL).QueryRow(func(row pgx.Row) error { return row.Scan(&now) })
	batch.Queue(dueSchedulesSQL, after.At, after.Tenant, after.Name, limit).Query(func(rows pgx.Rows) (err error) {
		due, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (millrace.Schedule, error) { return scanSchedule(row) })
		return err
	})
	if err := l.pool.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, time.Time{}, wrap("find due schedules", err)
	}
	return due, now.UTC(), nil
}

const (
	tickSQL = `UPDATE schedules SET next_run_at = $5, last_run_at = coalesce($6, last_run_at), ticked = coalesce($7, ticked)
		WHERE tenant = $1 AND name = $2 AND version = $3 AND next_run_at IS NOT DISTINCT FROM $4`

	tickedSQL = `UPDATE schedules SET last_job = $3, last_error = $4 WHERE tenant = $1 AND name = $2`

	// ownTickSQL says whether an earlier call wrote this very tick, and what became of its last job.
	ownTickSQL = `SELECT last_error FROM schedules WHERE tenant = $1 AND name = $2 AND ticked = $3`
)
