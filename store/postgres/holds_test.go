package postgres_test

import (
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/store"
)

// TestRefusedDeliveryOfItsOwnJob: a worker that gets a delivery which is not the one of the attempt that it runs, as an old one, or one that a
// program of schema 1 made of a running job, is refused and goes on holding the job: when it dies the job is rescued.
func TestRefusedDeliveryOfItsOwnJob(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		away int64 // of the delivery's fence from the attempt's
		dead bool  // the worker is buried before it comes
	}{
		{"older", -2, false},
		{"of the running attempt", 0, false},
		{"newer", 1, false},
		{"older, buried", -2, true},
		{"its own, buried", -1, true},
		{"of the running attempt, buried", 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := open(t, testenv.Postgres(t))
			w := newWorker(t, l)
			d := insert(t, l, 1)
			first := claim(t, l, w, d)[0]
			first.Kind, first.Attempt = store.OutcomeRetry, millrace.AttemptError
			finish(t, l, []store.Outcome{first})
			running := claim(t, l, w, []store.Delivery{{Job: first.Job, Fence: first.Fence}})[0]
			if tt.dead {
				if err := l.Bury(t.Context(), w, store.Death{}); err != nil {
					t.Fatal(err)
				}
			}
			claimed, err := l.Claim(t.Context(), w, []store.Delivery{{Job: running.Job, Fence: running.Fence + tt.away}})
			if err == nil && (tt.dead || claimed[0].Job != nil) {
				t.Fatalf("Claim = %+v, want it refused", claimed)
			}
			// With the next call the ledger hears what the worker does not hold any more.
			_, _ = l.Claim(t.Context(), w, insert(t, l, 1))
			if !tt.dead {
				if err := l.Leave(t.Context(), w); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := l.Rescue(t.Context()); err != nil {
				t.Fatal(err)
			}
			if job := get(t, l, running.Job); job.State != millrace.Queued {
				t.Errorf("the job of a dead worker is %s after the rescue, want queued", job.State)
			}
		})
	}
}
