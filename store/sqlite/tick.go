package sqlite

import (
	"context"
	"fmt"

	"github.com/millrace/millrace/store"
)

// tickSQL moves a schedule on. Who worked out the tick from another state of it moves nothing.
const tickSQL = `UPDATE schedules SET next_run_at = ?3, last_run_at = coalesce(?4, last_run_at)
	WHERE tenant = ?1 AND name = ?2` + sameVersion + sameTick

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
		return t.ticked(tick, last, errs)
	})
	if err != nil {
		return nil, false, fmt.Errorf("tick: %w", err)
	}
	return errs, moved, nil
}

// ticked notes what became of the last job.
func (t *tx) ticked(tick store.Tick, job string, errs []error) error {
	refusal := tick.Refused
	if len(errs) == 0 && refusal == "" {
		return nil
	}
	if n := len(errs); refusal == "" && errs[n-1] != nil {
		refusal = errs[n-1].Error()
	}
	if refusal != "" {
		job = ""
	}
	_, err := t.exec(`UPDATE schedules SET last_job = ?, last_error = ? WHERE tenant = ? AND name = ?`, job, refusal, tick.Tenant, tick.Name)
	return err
}
