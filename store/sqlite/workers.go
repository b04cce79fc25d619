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

// forgetDead is how long a buried id is refused; nobody freezes for longer and thaws.
const forgetDead = 24 * time.Hour

// Register implements store.WorkerLedger.
func (l *Ledger) Register(ctx context.Context, w millrace.Worker) error {
	return l.write(ctx, func(t *tx) error {
		if _, err := t.exec(`DELETE FROM workers WHERE state = 'dead' AND beat < ?`, t.mono-forgetDead.Milliseconds()); err != nil {
			return err
		}
		var state string
		err := t.row(`SELECT state FROM workers WHERE id = ?`, w.ID).Scan(&state)
		if err == nil && state != "live" {
			return store.ErrBuried
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		started := t.now
		if !w.StartedAt.IsZero() {
			started = w.StartedAt.UnixMilli()
		}
		_, err = t.exec(`INSERT INTO workers (id, host, boot_id, pid, pid_start, role, cpu_slots, io_slots, memory_used, memory_budget,
			running, started_at, beat_at, beat, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '[]', ?, ?, ?, 'live')`,
			w.ID, w.Host, w.BootID, w.PID, w.PIDStart, w.Role, w.CPUSlots, w.IOSlots, w.MemoryUsed, w.MemoryBudget, started, t.now, t.mono)
		return err
	})
}

// Beat implements store.WorkerLedger. A beat without progress touches temporary tables only: nothing goes to disk. Progress is not synced.
func (l *Ledger) Beat(ctx context.Context, b store.Beat) (store.BeatReply, error) {
	ids := make([]string, 0, len(b.Running))
	progress := make([]sql.NullString, len(b.Running))
	for i, h := range b.Running {
		ids = append(ids, h.Job)
		var err error
		if progress[i], err = encode(h.Progress, h.Progress == nil); err != nil {
			return store.BeatReply{}, err
		}
	}
	running, err := encode(ids, false)
	if err != nil {
		return store.BeatReply{}, err
	}
	holdings := append([]store.Holding(nil), b.Running...)
	var reply store.BeatReply
	err = l.writeLazily(ctx, func(t *tx) error {
		n, err := t.exec(`UPDATE workers SET beat_at = ?, beat = ?, memory_used = ?, memory_budget = ?, running = ? WHERE id = ? AND state = 'live'`,
			t.now, t.mono, b.MemoryUsed, b.MemoryBudget, running, b.Worker)
		if err != nil {
			return err
		}
		if n == 0 {
			return store.ErrBuried
		}
		for i, h := range holdings {
			if err := t.holds(b.Worker, h, progress[i], &reply); err != nil {
				return fmt.Errorf("beat for job %s: %w", h.Job, err)
			}
		}
		return t.row(quarantineSQL, t.now).Scan(&reply.Quarantine)
	})
	if err != nil {
		return store.BeatReply{}, err
	}
	return reply, nil
}

// quarantineSQL says whether a due job waits in quarantine, which is not paused.
const quarantineSQL = `SELECT EXISTS (SELECT 1 FROM jobs INDEXED BY jobs_owed WHERE queue = 'quarantine' AND due_at <= ?
	AND ` + notPaused + `)`

// The + keeps the planner off the index of owners, in which one worker may have many rows.
const holdsSQL = `SELECT cancel_at IS NOT NULL FROM jobs WHERE id = ? AND fence = ? AND +worker_id = ? AND state = 'running'`

// holds looks at one attempt of the worker and notes its progress.
func (t *tx) holds(worker string, h store.Holding, progress sql.NullString, reply *store.BeatReply) error {
	var cancel bool
	err := t.row(holdsSQL, h.Job, h.Fence, worker).Scan(&cancel)
	d := store.Delivery{Job: h.Job, Fence: h.Fence}
	if errors.Is(err, sql.ErrNoRows) {
		reply.Lost = append(reply.Lost, d)
		return nil
	}
	if err != nil {
		return err
	}
	if cancel {
		reply.Cancel = append(reply.Cancel, d)
	}
	if progress.Valid {
		_, err = t.exec(`UPDATE jobs SET progress = ? WHERE id = ? AND fence = ? AND state = 'running'`, progress, h.Job, h.Fence)
	}
	return err
}

// Leave implements store.WorkerLedger.
func (l *Ledger) Leave(ctx context.Context, worker string) error {
	return l.write(ctx, func(t *tx) error {
		_, err := t.exec(`DELETE FROM workers WHERE id = ? AND state = 'live'`, worker)
		return err
	})
}

// Workers implements store.Upkeep.
func (l *Ledger) Workers(ctx context.Context) ([]millrace.Worker, error) {
	var workers []millrace.Worker
	err := l.write(ctx, func(t *tx) error {
		return t.rows(func(row scanner) error {
			var w millrace.Worker
			var running string
			var started, beat sql.NullInt64
			if err := row.Scan(&w.ID, &w.Host, &w.BootID, &w.PID, &w.PIDStart, &w.Role, &w.CPUSlots, &w.IOSlots, &w.MemoryUsed,
				&w.MemoryBudget, &running, &started, &beat); err != nil {
				return err
			}
			w.StartedAt, w.BeatAt = at(started), at(beat)
			workers = append(workers, w)
			return into(&workers[len(workers)-1].Running)(running)
		}, `SELECT id, host, boot_id, pid, pid_start, role, cpu_slots, io_slots, memory_used, memory_budget, running, started_at, beat_at
			FROM workers WHERE state = 'live' ORDER BY id`)
	})
	if err != nil {
		return nil, fmt.Errorf("list workers: %w", err)
	}
	return workers, nil
}

// Bury implements store.Upkeep.
func (l *Ledger) Bury(ctx context.Context, worker string, d store.Death) error {
	return l.write(ctx, func(t *tx) error {
		_, err := t.exec(`UPDATE workers SET state = 'dead', crash = ?, detail = ? WHERE id = ? AND state = 'live'`, d.Crash, d.Detail, worker)
		return err
	})
}

// BuryHost implements store.Upkeep.
func (l *Ledger) BuryHost(ctx context.Context, host string, alive func(millrace.Worker) bool,
	death func(millrace.Worker) store.Death) (int, error) {
	workers, err := l.Workers(ctx)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, w := range workers {
		if w.Host != host || alive(w) {
			continue
		}
		if err := l.Bury(ctx, w.ID, death(w)); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// BurySilent implements store.Upkeep. Silence is measured by the monotonic clock: setting the machine's clock buries nobody.
func (l *Ledger) BurySilent(ctx context.Context, silence time.Duration) (int, error) {
	var n int64
	err := l.write(ctx, func(t *tx) (err error) {
		n, err = t.exec(`UPDATE workers SET state = 'dead' WHERE state = 'live' AND beat < ?`, t.mono-silence.Milliseconds())
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("bury silent workers: %w", err)
	}
	return int(n), nil
}
