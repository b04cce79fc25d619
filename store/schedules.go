package store

import (
	"context"
	"time"

	"github.com/millrace/millrace"
)

// Schedules are jobs to come. Which ticks there are is worked out by the caller; the ledger sees to it that each is run once.
type Schedules interface {
	// PutSchedule creates the schedule or replaces it, raises its Version, and answers it as it stands. LastRunAt, LastJob and CreatedAt stay.
	PutSchedule(ctx context.Context, s millrace.Schedule) (stored millrace.Schedule, created bool, err error)
	// Schedule reads one, or ErrNotFound.
	Schedule(ctx context.Context, tenant, name string) (millrace.Schedule, error)
	// ListSchedules reads them by name, those after the given one.
	ListSchedules(ctx context.Context, tenant, after string, limit int) ([]millrace.Schedule, error)
	// DeleteSchedule removes one, or answers ErrNotFound. Its jobs stay.
	DeleteSchedule(ctx context.Context, tenant, name string) error
	// DueSchedules lists schedules of all tenants that are not paused and whose NextRunAt has come, longest due first, with the ledger's time: those
	// behind after, which is the zero value for the first page and DueAt of the last schedule for the next.
	DueSchedules(ctx context.Context, after Due, limit int) (due []millrace.Schedule, now time.Time, err error)
	// Tick inserts the jobs of due ticks and moves the schedule on, in one transaction, if the schedule is still at t.Version and t.From; else
	// nothing is written and moved is false. errs has one entry per job, as Insert has; a refused job does not keep the schedule from moving on.
	Tick(ctx context.Context, t Tick) (errs []error, moved bool, err error)
}

// Due is a place in the order of due schedules: by time, tenant and name.
type Due struct {
	At           time.Time
	Tenant, Name string
}

// DueAt is where a schedule stands in that order.
func DueAt(s millrace.Schedule) Due { return Due{s.NextRunAt, s.Tenant, s.Name} }

// Tick is one step of a schedule.
type Tick struct {
	Tenant, Name string
	Version      int64
	From         time.Time // its NextRunAt
	Next         time.Time // its new NextRunAt; zero: never again
	Last         time.Time // its new LastRunAt; zero: unchanged
	Jobs         []NewJob  // none where the ticks are skipped; LastJob and LastError come from the last
	Refused      string    // why the newest tick's job could not even be made: it is the new LastError then, and LastJob is ""
}
