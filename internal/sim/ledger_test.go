package sim_test

import (
	"context"
	"slices"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

// ledger is what one process sees of the ledger: each call may fail before or after it was done, come late, or meet a frozen or dead caller.
// A method that is missing here meets no faults, and TestEveryCallMeetsFaults says so.
type ledger struct {
	store.Ledger
	p *process
}

func newLedger(p *process) *ledger { return &ledger{Ledger: p.world.ledger, p: p} }

func (l *ledger) real() store.Ledger { return l.Ledger }

// pair carries two answers through do.
type pair[A, B any] struct {
	a A
	b B
}

func both[A, B any](a A, b B, err error) (pair[A, B], error) { return pair[A, B]{a, b}, err }

func (l *ledger) Ping(ctx context.Context) error { return act(l.p, ctx, "ping", l.real().Ping) }
func (l *ledger) Stats() store.PoolStats         { return l.real().Stats() }
func (l *ledger) Close() error                   { return nil }

func (l *ledger) BlobStore(ctx context.Context, id string) error {
	return act(l.p, ctx, "blobstore", func(ctx context.Context) error { return l.real().BlobStore(ctx, id) })
}

// Insert answers for each row apart.
func (l *ledger) Insert(ctx context.Context, jobs []store.NewJob) []error {
	rows := apart(jobs)
	errs, err := do(l.p, ctx, "insert", func(ctx context.Context) ([]error, error) { return l.real().Insert(ctx, rows), nil })
	l.noteWaiting(jobs, rows, err)
	if err != nil {
		errs = make([]error, len(jobs))
		for i := range errs {
			errs[i] = err
		}
	}
	return errs
}

func (l *ledger) InsertBatch(ctx context.Context, tenant string, key *store.Idempotency, jobs []store.NewJob,
	answer func([]error) []byte) ([]error, error) {
	rows := apart(jobs)
	errs, err := do(l.p, ctx, "insertbatch", func(ctx context.Context) ([]error, error) {
		return l.real().InsertBatch(ctx, tenant, key, rows, answer)
	})
	l.noteWaiting(jobs, rows, err)
	return errs, err
}

// apart copies jobs whose state the ledger may change, since a call may outlive its caller: see do.
func apart(jobs []store.NewJob) []store.NewJob {
	rows := slices.Clone(jobs)
	for i := range rows {
		job := *rows[i].Job
		rows[i].Job = &job
	}
	return rows
}

// noteWaiting tells a caller that has heard the answer which of the jobs wait.
func (l *ledger) noteWaiting(jobs, rows []store.NewJob, err error) {
	for i := range rows {
		if err == nil && rows[i].State == millrace.Waiting {
			jobs[i].State = millrace.Waiting
			l.p.world.strike("a job waits for an equal one")
		}
	}
}

func (l *ledger) Job(ctx context.Context, tenant, id string) (*millrace.Job, error) {
	return do(l.p, ctx, "job", func(ctx context.Context) (*millrace.Job, error) { return l.real().Job(ctx, tenant, id) })
}

func (l *ledger) List(ctx context.Context, tenant string, f store.JobFilter) ([]*millrace.Job, error) {
	return do(l.p, ctx, "list", func(ctx context.Context) ([]*millrace.Job, error) { return l.real().List(ctx, tenant, f) })
}

// Cancel, Retry and other calls may answer a job together with an error.
func (l *ledger) Cancel(ctx context.Context, tenant, id string) (*millrace.Job, error) {
	return do(l.p, ctx, "cancel", func(ctx context.Context) (*millrace.Job, error) { return l.real().Cancel(ctx, tenant, id) })
}

func (l *ledger) Retry(ctx context.Context, tenant, id string, key *store.RetryKey) (*millrace.Job, error) {
	return do(l.p, ctx, "retry", func(ctx context.Context) (*millrace.Job, error) { return l.real().Retry(ctx, tenant, id, key) })
}

func (l *ledger) Delete(ctx context.Context, tenant, id string) error {
	return act(l.p, ctx, "delete", func(ctx context.Context) error { return l.real().Delete(ctx, tenant, id) })
}

func (l *ledger) WebhookDeliveries(ctx context.Context, tenant, job string) ([]millrace.WebhookDelivery, error) {
	return do(l.p, ctx, "deliveries", func(ctx context.Context) ([]millrace.WebhookDelivery, error) {
		return l.real().WebhookDeliveries(ctx, tenant, job)
	})
}

func (l *ledger) TakeBlob(ctx context.Context, tenant, sha256 string) (string, bool, error) {
	r, err := do(l.p, ctx, "takeblob", func(ctx context.Context) (pair[string, bool], error) {
		return both(l.real().TakeBlob(ctx, tenant, sha256))
	})
	return r.a, r.b, err
}

func (l *ledger) CreateFile(ctx context.Context, f millrace.File, key *store.Idempotency) error {
	return act(l.p, ctx, "createfile", func(ctx context.Context) error { return l.real().CreateFile(ctx, f, key) })
}

func (l *ledger) File(ctx context.Context, tenant, id string) (millrace.File, error) {
	return do(l.p, ctx, "file", func(ctx context.Context) (millrace.File, error) { return l.real().File(ctx, tenant, id) })
}

func (l *ledger) ListFiles(ctx context.Context, tenant, before string, limit int) ([]millrace.File, error) {
	return do(l.p, ctx, "listfiles", func(ctx context.Context) ([]millrace.File, error) {
		return l.real().ListFiles(ctx, tenant, before, limit)
	})
}

func (l *ledger) DeleteFile(ctx context.Context, tenant, id string) error {
	return act(l.p, ctx, "deletefile", func(ctx context.Context) error { return l.real().DeleteFile(ctx, tenant, id) })
}

func (l *ledger) Result(ctx context.Context, tenant, key string) (store.Result, error) {
	return do(l.p, ctx, "result", func(ctx context.Context) (store.Result, error) { return l.real().Result(ctx, tenant, key) })
}

func (l *ledger) Answer(ctx context.Context, tenant, key string) (store.Idempotency, error) {
	return do(l.p, ctx, "answer", func(ctx context.Context) (store.Idempotency, error) { return l.real().Answer(ctx, tenant, key) })
}

func (l *ledger) PutSchedule(ctx context.Context, s millrace.Schedule) (millrace.Schedule, bool, error) {
	r, err := do(l.p, ctx, "putschedule", func(ctx context.Context) (pair[millrace.Schedule, bool], error) {
		return both(l.real().PutSchedule(ctx, s))
	})
	return r.a, r.b, err
}

func (l *ledger) Schedule(ctx context.Context, tenant, name string) (millrace.Schedule, error) {
	return do(l.p, ctx, "schedule", func(ctx context.Context) (millrace.Schedule, error) { return l.real().Schedule(ctx, tenant, name) })
}

func (l *ledger) ListSchedules(ctx context.Context, tenant, after string, limit int) ([]millrace.Schedule, error) {
	return do(l.p, ctx, "listschedules", func(ctx context.Context) ([]millrace.Schedule, error) {
		return l.real().ListSchedules(ctx, tenant, after, limit)
	})
}

func (l *ledger) DeleteSchedule(ctx context.Context, tenant, name string) error {
	return act(l.p, ctx, "deleteschedule", func(ctx context.Context) error { return l.real().DeleteSchedule(ctx, tenant, name) })
}

func (l *ledger) PutPreset(ctx context.Context, p millrace.Preset, match *store.PresetMatch) (millrace.Preset, bool, error) {
	r, err := do(l.p, ctx, "putpreset", func(ctx context.Context) (pair[millrace.Preset, bool], error) {
		return both(l.real().PutPreset(ctx, p, match))
	})
	return r.a, r.b, err
}

func (l *ledger) Preset(ctx context.Context, tenant, name string) (millrace.Preset, error) {
	return do(l.p, ctx, "preset", func(ctx context.Context) (millrace.Preset, error) { return l.real().Preset(ctx, tenant, name) })
}

func (l *ledger) ListPresets(ctx context.Context, tenant, after string, limit int) ([]millrace.Preset, error) {
	return do(l.p, ctx, "listpresets", func(ctx context.Context) ([]millrace.Preset, error) {
		return l.real().ListPresets(ctx, tenant, after, limit)
	})
}

func (l *ledger) DeletePreset(ctx context.Context, tenant, name string, match *store.PresetMatch) error {
	return act(l.p, ctx, "deletepreset", func(ctx context.Context) error { return l.real().DeletePreset(ctx, tenant, name, match) })
}

func (l *ledger) DueSchedules(ctx context.Context, after store.Due, limit int) ([]millrace.Schedule, time.Time, error) {
	r, err := do(l.p, ctx, "dueschedules", func(ctx context.Context) (pair[[]millrace.Schedule, time.Time], error) {
		return both(l.real().DueSchedules(ctx, after, limit))
	})
	return r.a, r.b, err
}

func (l *ledger) Tick(ctx context.Context, t store.Tick) ([]error, bool, error) {
	r, err := do(l.p, ctx, "tick", func(ctx context.Context) (pair[[]error, bool], error) {
		errs, moved, err := l.real().Tick(ctx, t)
		if err == nil && moved {
			l.p.world.watch.ticked(t, errs)
		}
		return both(errs, moved, err)
	})
	return r.a, r.b, err
}

func (l *ledger) PauseQueue(ctx context.Context, queue string, paused bool) error {
	return act(l.p, ctx, "pausequeue", func(ctx context.Context) error { return l.real().PauseQueue(ctx, queue, paused) })
}

func (l *ledger) PausedQueues(ctx context.Context) ([]string, error) {
	return do(l.p, ctx, "pausedqueues", l.real().PausedQueues)
}
