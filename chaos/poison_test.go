//go:build linux

package chaos_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/fault"
)

// A job that kills its process, wherever it runs, is put into quarantine and fails there as poisoned. Its neighbours lose nothing.
func TestPoisonedJob(t *testing.T) {
	if testing.Short() {
		t.Skip("starts servers")
	}
	t.Parallel()
	for _, mode := range []string{embedded, production} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, mode)
			l := newLoad(t, f, 50)
			if err := f.order(fault.Claimed, "kill keep tag=poison"); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			poison := l.next("checksum")
			poison.body = []byte(strings.Replace(string(poison.body), `"tags":["`+poison.token+`"]`, `"tags":["`+poison.token+`","poison"]`, 1))
			var neighbours []*request
			for i := range 60 {
				if i == 10 {
					l.submit(ctx, poison)
				}
				neighbours = append(neighbours, l.next(map[bool]string{true: "short", false: "checksum"}[i%20 == 5]))
				l.submit(ctx, neighbours[i])
			}
			seen := false // the process that takes quarantined jobs
			var job jobView
			if !eventually(time.Minute, func() bool {
				seen = seen || l.runs("quarantine")
				_, _, err := f.call(ctx, l.client, "GET", "/v1/jobs/"+poison.id, nil, nil, &job)
				return err == nil && job.State.Final()
			}) {
				t.Fatalf("the job that kills its process did not end: %+v", job)
			}
			checkPoisoned(t, f, &job)
			if !seen {
				t.Error("no process with the role quarantine was listed")
			}
			for _, n := range neighbours {
				var job jobView
				if !eventually(30*time.Second, func() bool {
					_, _, err := f.call(ctx, l.client, "GET", "/v1/jobs/"+n.id, nil, nil, &job)
					return err == nil && job.State.Final()
				}) || job.State != millrace.Succeeded || job.Attempt != 1 {
					t.Errorf("a neighbour (%s): %+v, want it done with one attempt spent", n.kind, job)
				}
			}
		})
	}
}

// runs says whether a live process has the role.
func (l *load) runs(role string) bool {
	var page struct {
		Items []struct{ Role string } `json:"items"`
	}
	_, _, err := l.f.call(context.Background(), l.client, "GET", "/v1/workers", nil, nil, &page)
	for _, w := range page.Items {
		if err == nil && w.Role == role {
			return true
		}
	}
	return false
}

func checkPoisoned(t *testing.T, f *fleet, job *jobView) {
	t.Helper()
	if job.State != millrace.Failed || job.Error == nil || job.Error.Code != millrace.CodePoisoned || job.Error.Retryable {
		t.Errorf("the job ended as %s, %+v; want failed, poisoned", job.State, job.Error)
	}
	if len(job.Attempts) != millrace.PoisonCrashes || job.Attempt != 0 {
		t.Errorf("%d attempts, %d spent: %+v; want %d, none spent", len(job.Attempts), job.Attempt, job.Attempts, millrace.PoisonCrashes)
	}
	for _, a := range job.Attempts {
		if a.Outcome != millrace.AttemptCrashed || a.Error == nil || !strings.Contains(a.Error.Message, "the worker process ended") {
			t.Errorf("attempt %d: %s, %+v; want a crash with what is known of it", a.N, a.Outcome, a.Error)
		}
	}
	var alone []string
	for _, s := range f.ownStrikes() {
		alone = append(alone, fmt.Sprintf("%s %s by %s", s.action, s.point, s.child))
	}
	for i, s := range f.ownStrikes() {
		if (i >= millrace.QuarantineCrashes) != (s.child == "quarantine") {
			t.Errorf("the strikes: %q; want the first %d in ordinary processes, the others in quarantine", alone, millrace.QuarantineCrashes)
			break
		}
	}
}
