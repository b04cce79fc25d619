package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

var errPending = errors.New("not there yet")

func (l *Ledger) InsertBatch(context.Context, string, *store.Idempotency, []store.NewJob, func([]error) []byte) ([]error, error) {
	return nil, errPending
}

func (l *Ledger) WebhookDeliveries(context.Context, string, string) ([]millrace.WebhookDelivery, error) {
	return nil, errPending
}

func (l *Ledger) Answer(context.Context, string, string) (store.Idempotency, error) {
	return store.Idempotency{}, store.ErrNotFound
}

func (l *Ledger) PutSchedule(context.Context, millrace.Schedule) (millrace.Schedule, bool, error) {
	return millrace.Schedule{}, false, errPending
}

func (l *Ledger) Schedule(context.Context, string, string) (millrace.Schedule, error) {
	return millrace.Schedule{}, errPending
}

func (l *Ledger) ListSchedules(context.Context, string, string, int) ([]millrace.Schedule, error) {
	return nil, errPending
}

func (l *Ledger) DeleteSchedule(context.Context, string, string) error { return errPending }

func (l *Ledger) DueSchedules(context.Context, int) ([]millrace.Schedule, time.Time, error) {
	return nil, time.Time{}, nil
}

func (l *Ledger) Tick(context.Context, store.Tick) ([]error, bool, error) {
	return nil, false, errPending
}

func (l *Ledger) PauseQueue(context.Context, string, bool) error { return errPending }

func (l *Ledger) PausedQueues(context.Context) ([]string, error) { return nil, nil }

func (l *Ledger) FailOverdue(context.Context, int) (int, error) { return 0, nil }

func (l *Ledger) ExpireKeys(context.Context, int) (int, error) { return 0, nil }
