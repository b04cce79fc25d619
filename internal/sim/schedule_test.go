package sim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/dispatch"
	"github.com/millrace/millrace/store"
)

const scheduleName = "mill"

// schedule puts the plan's schedule, and sets the clock so that its first tick comes while there are faults.
func (w *world) schedule(d dice) error {
	if w.plan.catchUp == "" {
		return nil
	}
	w.leap(time.Minute - d.between(time.Second, w.plan.span))
	f, err := w.uploadOne([]byte("a grain a minute"), 48*time.Hour)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(recurring{Work: work{Token: "tick", Ms: 100}, File: f.ID})
	if err != nil {
		return err
	}
	_, _, err = w.ledger.PutSchedule(context.Background(), millrace.Schedule{
		Tenant: tenant, Name: scheduleName, Cron: "* * * * *", Timezone: "UTC", CatchUp: w.plan.catchUp, Job: raw,
		NextRunAt: w.now().Truncate(time.Minute).Add(time.Minute),
	})
	return err
}

// stopSchedule removes the schedule, so that what it makes has an end.
func (w *world) stopSchedule(ctx context.Context) error {
	if w.plan.catchUp == "" {
		return nil
	}
	return w.ledger.DeleteSchedule(ctx, tenant, scheduleName)
}

// recurring is the job that the schedule keeps.
type recurring struct {
	Work work
	File string
}

// scheduled makes the jobs of the schedule.
type scheduled struct{ *dispatch.Dispatcher }

func (s scheduled) Prepare(ctx context.Context, tenant string, raw json.RawMessage) (store.NewJob, error) {
	var r recurring
	if err := json.Unmarshal(raw, &r); err != nil {
		return store.NewJob{}, err
	}
	params, err := json.Marshal(r.Work)
	if err != nil {
		return store.NewJob{}, err
	}
	never := false
	return s.Dispatcher.Prepare(ctx, dispatch.Spec{Tenant: tenant, Type: typeIO, Params: params, Cache: &never, Tags: []string{"tick"},
		Inputs: []millrace.Input{{File: r.File}}, Schedule: scheduleName})
}

// ticked notes a step of the schedule that was committed: each is made once, by whichever leader.
func (w *watch) ticked(t store.Tick, errs []error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ticks[t.From] {
		w.world.wrongly("the tick of %v was run twice", t.From)
	}
	w.ticks[t.From] = true
	for i, j := range t.Jobs {
		if errs[i] == nil {
			w.made[j.ID] = true
		}
	}
	w.world.trace.add("schedule", fmt.Sprintf("tick of %v makes %d jobs", t.From, len(t.Jobs)))
}
