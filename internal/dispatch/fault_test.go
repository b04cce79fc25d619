package dispatch_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/dispatch"
	"github.com/millrace/millrace/internal/testrig"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/sqlite"
	"github.com/millrace/millrace/tasks"
)

// muteLedger commits what it is given and loses the answer.
type muteLedger struct {
	*sqlite.Ledger
	unlimited bool // a call came without a time limit
}

func (l *muteLedger) Insert(ctx context.Context, jobs []store.NewJob) []error {
	_, limited := ctx.Deadline()
	l.unlimited = !limited
	errs := l.Ledger.Insert(ctx, jobs)
	for i := range errs {
		errs[i] = errors.Join(errs[i], errors.New("connection reset by peer"))
	}
	return errs
}

func TestSubmitPromisesNothingWhenTheAnswerIsLost(t *testing.T) {
	t.Parallel()
	rig := testrig.New(t)
	types, err := tasks.NewList(echoType())
	if err != nil {
		t.Fatal(err)
	}
	ledger := &muteLedger{Ledger: rig.Ledger}
	d := dispatch.New(dispatch.Config{Ledger: ledger, Queue: rig.Queue, Signals: silence{}, Types: types, Log: rig.Log, Committers: 1})
	stop := rig.Go(d.Run)
	file := rig.File("a", []byte("a"))
	never := false
	_, err = d.Submit(t.Context(), dispatch.Spec{Tenant: millrace.DefaultTenant, Type: "test.echo", Inputs: []millrace.Input{{File: file.ID}}, Cache: &never})
	stop()
	e, ok := errors.AsType[*millrace.Error](err)
	if !ok || e.Kind != millrace.Unavailable || strings.Contains(e.Detail, "nothing was accepted") || strings.Contains(e.Detail, "reset by peer") {
		t.Errorf("Submit = %v, want unavailable in words that leave open whether the job was accepted", err)
	}
	jobs, err := rig.Ledger.List(t.Context(), millrace.DefaultTenant, store.JobFilter{Limit: 10})
	if err != nil || len(jobs) != 1 {
		t.Errorf("the ledger has %d jobs, %v, want the one whose answer was lost", len(jobs), err)
	}
	if ledger.unlimited {
		t.Error("the commit had no time limit")
	}
}
