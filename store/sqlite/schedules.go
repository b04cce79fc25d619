package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

// scheduleColumns are those of millrace.Schedule, in the order of scanSchedule.
const scheduleColumns = `tenant, name, cron, timezone, catch_up, paused, job, next_run_at, last_run_at, last_job, last_error, version,
	created_at, updated_at`

func scanSchedule(row scanner) (millrace.Schedule, error) {
	var s millrace.Schedule
	var next, last sql.NullInt64
	var created, updated int64
	var job string
	if err := row.Scan(&s.Tenant, &s.Name, &s.Cron, &s.Timezone, &s.CatchUp, &s.Paused, &job, &next, &last, &s.LastJob, &s.LastError,
		&s.Version, &created, &updated); err != nil {
		return millrace.Schedule{}, err
	}
	s.Job = raw(text(job))
	s.NextRunAt, s.LastRunAt, s.CreatedAt, s.UpdatedAt = at(next), at(last), instant(created), instant(updated)
	return s, nil
}

// putSchedule leaves alone what the ticks before have written.
const putSchedule = `INSERT INTO schedules (` + scheduleColumns + `) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, NULL, '', '', ?9, ?10, ?10)
	ON CONFLICT (tenant, name) DO UPDATE SET cron = excluded.cron, timezone = excluded.timezone, catch_up = excluded.catch_up,
		paused = excluded.paused, job = excluded.job, next_run_at = excluded.next_run_at, version = excluded.version, updated_at = excluded.updated_at
	RETURNING ` + scheduleColumns

// PutSchedule implements store.Schedules. Versions come from one counter, so that a tick of a schedule that was deleted is no tick of the one
// that has its name now.
func (l *Ledger) PutSchedule(ctx context.Context, s millrace.Schedule) (stored millrace.Schedule, created bool, err error) {
	job, next := string(s.Job), ms(s.NextRunAt)
	var put millrace.Schedule
	var fresh bool
	err = l.write(ctx, func(t *tx) error {
		if err := t.row(`SELECT NOT EXISTS (SELECT 1 FROM schedules WHERE tenant = ? AND name = ?)`, s.Tenant, s.Name).Scan(&fresh); err != nil {
			return err
		}
		var version int64
		if err := t.row(`UPDATE meta SET value = value + 1 WHERE key = 'schedule_version' RETURNING CAST(value AS INTEGER)`).Scan(&version); err != nil {
			return err
		}
		var err error
		put, err = scanSchedule(t.row(putSchedule, s.Tenant, s.Name, s.Cron, s.Timezone, string(s.CatchUp), s.Paused, job, next, version, t.now))
		return err
	})
	if err != nil {
		return millrace.Schedule{}, false, fmt.Errorf("put schedule: %w", err)
	}
	return put, fresh, nil
}

const scheduleSQL = `SELECT ` + scheduleColumns + ` FROM schedules WHERE tenant = ? AND name = ?`

// Schedule implements store.Schedules.
func (l *Ledger) Schedule(ctx context.Context, tenant, name string) (millrace.Schedule, error) {
	s, err := scanSchedule(l.reads.QueryRowContext(ctx, scheduleSQL, tenant, name))
	if errors.Is(err, sql.ErrNoRows) {
		return s, fmt.Errorf("schedule: %w", store.ErrNotFound)
	}
	if err != nil {
		return s, fmt.Errorf("read schedule: %w", err)
	}
	return s, nil
}

const schedulesSQL = `SELECT ` + scheduleColumns + ` FROM schedules WHERE tenant = ? AND name > ? ORDER BY name LIMIT ?`

// ListSchedules implements store.Schedules.
func (l *Ledger) ListSchedules(ctx context.Context, tenant, after string, limit int) ([]millrace.Schedule, error) {
	all, err := l.schedules(ctx, schedulesSQL, tenant, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list schedules: %w", err)
	}
	return all, nil
}

func (l *Ledger) schedules(ctx context.Context, query string, args ...any) ([]millrace.Schedule, error) {
	var all []millrace.Schedule
	err := each(func(row scanner) error {
		s, err := scanSchedule(row)
		all = append(all, s)
		return err
	})(l.reads.QueryContext(ctx, query, args...))
	return all, err
}

// DeleteSchedule implements store.Schedules.
func (l *Ledger) DeleteSchedule(ctx context.Context, tenant, name string) error {
	return l.write(ctx, func(t *tx) error {
		n, err := t.exec(`DELETE FROM schedules WHERE tenant = ? AND name = ?`, tenant, name)
		if err == nil && n == 0 {
			err = fmt.Errorf("schedule: %w", store.ErrNotFound)
		}
		return err
	})
}

const dueSchedules = `SELECT ` + scheduleColumns + ` FROM schedules INDEXED BY schedules_due
	WHERE next_run_at <= ?1 AND (next_run_at, tenant, name) > (?2, ?3, ?4) AND paused = 0 ORDER BY next_run_at, tenant, name LIMIT ?5`

// DueSchedules implements store.Schedules.
func (l *Ledger) DueSchedules(ctx context.Context, after store.Due, limit int) ([]millrace.Schedule, time.Time, error) {
	now := l.now().UTC()
	due, err := l.schedules(ctx, dueSchedules, now.UnixMilli(), after.At.UnixMilli(), after.Tenant, after.Name, limit)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("find due schedules: %w", err)
	}
	return due, now, nil
}
