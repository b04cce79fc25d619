package sqlite

import (
	"context"
	"fmt"

	"github.com/millrace/millrace/store"
)

// tickSQL moves a schedule on. Who worked out the tick from another state of it moves nothing.
const tickSQL = `UPDATE schedules SET next_run_at = ?3, last_run_at = coalesce(?4, last_run_at) WHERE tenant = ?1 AND name = ?2` + sameVersion + sameTick

// The guards of a tick.
const (
	sameVersion = ` AND version = ?5`
	sameTick    = ` AND next_run_at = ?6`
)

// Tick implements store.Schedules.
func (l *Ledger) Tick(ctx context.Context, tick store.Tick) ([]error, bool, error) {
	rows, invalid := prepareRows(tick.Jobs, l.now())
	last := "" // the last job's id
	if n := len(tick.Jobs); n > 0 {
		last = tick.Jobs[n-1].ID
	}
	var errs []error
	moved := false
	err := l.write(ctx, func(t *tx) error {
		n, err := t.exec(tickSQL, tick.Tenant, tick.Name, ms(tick.Next), ms(tick.Last), tick.Version, ms(tick.From))
		if err != nil || n == 0 {
			return err
		}
		if errs, err = t.insertAll(rows); err != nil {
			return err
		}
		for i, e := range invalid {
			if e != nil {
				errs[i] = e
			}
		}
		moved = true
		return t.ticked(tick.Tenant, tick.Name, last, errs)
	})
	if err != nil {
		return nil, false, fmt.Errorf("tick: %w", err)
	}
	return errs, moved, nil
}

// ticked notes what became of the last job.
func (t *tx) ticked(tenant, name, job string, errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	refusal := ""
	if err := errs[len(errs)-1]; err != nil {
		job, refusal = "", err.Error()
	}
	_, err := t.exec(`UPDATE schedules SET last_job = ?, last_error = ? WHERE tenant = ? AND name = ?`, job, refusal, tenant, name)
	return err
}
