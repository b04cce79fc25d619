package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

// checkJob looks at one job by itself.
func (r *report) checkJob(j *millrace.Job) {
	say := func(broken bool, invariant, format string, args ...any) {
		r.say(broken, invariant, j.ID, format, args...)
	}
	running, final := j.State == millrace.Running, j.State.Final()
	say(!j.State.Valid(), "I2", "unknown state %q", j.State)
	say(j.Run < 1, "I5", "run %d is below 1", j.Run)
	say(j.CreatedAt.IsZero(), "I3", "no creation time")
	say(final == j.FinishedAt.IsZero(), "I2", "is %s and finished at %v", j.State, j.FinishedAt)
	say(final == j.ExpiresAt.IsZero(), "I2", "is %s and expires at %v", j.State, j.ExpiresAt)
	say(running && j.StartedAt.IsZero(), "I5", "runs without a start")
	say(j.Attempt < 0, "I5", "%d attempts spent", j.Attempt)
	say(j.MaxAttempts > 0 && j.Attempt > j.MaxAttempts, "I5", "%d attempts of at most %d", j.Attempt, j.MaxAttempts)
	say(j.State != millrace.Succeeded && (len(j.Outputs) > 0 || len(j.Result) > 0), "I6", "is %s with %d outputs and the result %q", j.State,
		len(j.Outputs), j.Result)
	say(j.State == millrace.Succeeded && j.Error != nil, "I2", "success with an error: %+v", j.Error)
	say(j.State == millrace.Failed && j.Error == nil, "I2", "failure without an error")
	say(len(j.Attempts) > millrace.MaxAttemptHistory, "I12", "history of %d attempts", len(j.Attempts))
	say(r.Settled && !final, "I10", "is still %s, in %s, run at %v", j.State, j.Queue, j.RunAt)
	r.checkAttempts(j)
	if !r.Public {
		say(j.Fence < int64(j.Starts), "I5", "fence %d after %d starts, each of which raises it", j.Fence, j.Starts)
		say(running != (j.WorkerID != ""), "I5", "is %s and has the owner %q", j.State, j.WorkerID)
		say(j.Attempt > j.Starts, "I5", "%d attempts spent of %d starts", j.Attempt, j.Starts)
		r.checkCrashes(j)
	}
}

// checkCrashes looks at where crashes have led a job.
func (r *report) checkCrashes(j *millrace.Job) {
	quarantined := j.Queue == string(millrace.Quarantine)
	live := !j.State.Final()
	r.say(live && quarantined != (j.Crashes >= millrace.QuarantineCrashes), "I12", j.ID, "%d crashes and in the queue %s", j.Crashes, j.Queue)
	r.say(live && j.Crashes >= millrace.PoisonCrashes, "I12", j.ID, "is %s after %d crashes", j.State, j.Crashes)
	poisoned := j.State == millrace.Failed && j.Error != nil && j.Error.Code == millrace.CodePoisoned
	r.say(poisoned && j.Crashes > 0 && j.Crashes < millrace.PoisonCrashes, "I12", j.ID, "is poisoned after %d crashes", j.Crashes)
}

// checkAttempts compares a job's history with its counters.
func (r *report) checkAttempts(j *millrace.Job) {
	say := func(broken bool, invariant, format string, args ...any) {
		r.say(broken, invariant, j.ID, format, args...)
	}
	spent, open, crashed := 0, 0, 0
	for i, a := range j.Attempts {
		last := i == len(j.Attempts)-1
		if a.Run == j.Run {
			spent += number(a.Spent)
			crashed += number(a.Outcome == millrace.AttemptCrashed)
		}
		open += number(a.Outcome == "")
		own := a.Outcome == millrace.AttemptSucceeded || a.Outcome == millrace.AttemptError || a.Outcome == millrace.AttemptTimeout
		say(a.Spent != own, "I12", "attempt %d ended %q, spent %v", a.N, a.Outcome, a.Spent)
		say((a.Outcome == "") != a.EndedAt.IsZero(), "I5", "attempt %d ended %q at %v", a.N, a.Outcome, a.EndedAt)
		say(a.Outcome == "" && (j.State != millrace.Running || !last), "I5", "attempt %d is open in a job that is %s", a.N, j.State)
		say(i > 0 && a.N != j.Attempts[i-1].N+1, "I5", "attempt %d follows %d", a.N, j.Attempts[max(i, 1)-1].N)
		say(i > 0 && a.Run < j.Attempts[i-1].Run, "I5", "attempt %d is of an earlier run than the one before", a.N)
		say(a.Outcome == millrace.AttemptSucceeded && (!last || j.State != millrace.Succeeded), "I2", "is %s, yet attempt %d succeeded", j.State, a.N)
		say(last && !r.Public && a.N != j.Starts, "I5", "the newest attempt is %d of %d", a.N, j.Starts)
	}
	if !r.Public {
		say(len(j.Attempts) < min(j.Starts, millrace.MaxAttemptHistory), "I12", "%d of %d starts in the history", len(j.Attempts), j.Starts)
	}
	if j.State == millrace.Running {
		say(open != 1, "I5", "runs with %d open attempts", open)
		spent++ // the running one is counted from its claim
	}
	if len(j.Attempts) < millrace.MaxAttemptHistory {
		say(j.Attempt != spent, "I12", "%d attempts spent, %d by the history", j.Attempt, spent)
		say(!r.Public && j.Crashes != crashed, "I12", "%d crashes, %d by the history", j.Crashes, crashed)
	}
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

// checkRows looks at what else the source has about a job.
func (r *report) checkRows(ctx context.Context, j *millrace.Job) error {
	files, ok := r.Source.(interface {
		File(ctx context.Context, tenant, id string) (millrace.File, error)
	})
	for _, out := range j.Outputs {
		if !ok {
			break
		}
		file, err := files.File(ctx, j.Tenant, out.File)
		if errors.Is(err, store.ErrNotFound) {
			continue // its owner may delete an output before the job
		}
		if err != nil {
			return fmt.Errorf("read file: %w", err)
		}
		r.say(file.Job != j.ID || file.SHA256 != out.SHA256 || file.Size != out.Size, "I6", j.ID, "output %q and its file differ: %+v and %+v",
			out.Name, out, file)
	}
	owed, ok := r.Source.(interface {
		WebhookDeliveries(ctx context.Context, tenant, job string) ([]millrace.WebhookDelivery, error)
	})
	if !ok {
		return nil
	}
	deliveries, err := owed.WebhookDeliveries(ctx, j.Tenant, j.ID)
	if err != nil {
		return fmt.Errorf("read deliveries: %w", err)
	}
	r.checkDeliveries(j, deliveries)
	return nil
}

// checkDeliveries wants one delivery for each run that ended as the webhook asked.
func (r *report) checkDeliveries(j *millrace.Job, deliveries []millrace.WebhookDelivery) {
	say := func(broken bool, format string, args ...any) { r.say(broken, "I7", j.ID, format, args...) }
	if j.Webhook == nil {
		say(len(deliveries) > 0, "%d deliveries, and no webhook", len(deliveries))
		return
	}
	byRun := map[int]int{}
	for _, d := range deliveries {
		byRun[d.Run]++
		say(d.ID != millrace.WebhookID(j.ID, d.Run) || d.Job != j.ID || d.Tenant != j.Tenant || d.URL != j.Webhook.URL, "delivery %+v", d)
		say(!slices.Contains(j.Webhook.Events, d.Event), "delivery of %q, which nobody wanted", d.Event)
		say(d.Run == j.Run && d.Event != string(j.State), "delivery of %q, and the job is %s", d.Event, j.State)
		say(d.Run < j.Run && d.Event == string(millrace.Succeeded), "delivery of the success of run %d, and there is run %d", d.Run, j.Run)
		say(d.Run < 1 || d.Run > j.Run, "delivery of run %d of %d", d.Run, j.Run)
		end := r.History.runs[runKey{j.ID, d.Run}]
		say(end != nil && d.Event != string(end.state), "delivery of %q for run %d, which ended otherwise", d.Event, d.Run)
	}
	both := slices.Contains(j.Webhook.Events, string(millrace.Failed)) && slices.Contains(j.Webhook.Events, string(millrace.Canceled))
	for run := 1; run <= j.Run; run++ {
		end := r.History.runs[runKey{j.ID, run}]
		want := run == j.Run && j.State.Final() && slices.Contains(j.Webhook.Events, string(j.State)) ||
			run < j.Run && (both || end != nil && slices.Contains(j.Webhook.Events, string(end.state)))
		say(byRun[run] > 1 || want && byRun[run] == 0, "%d deliveries for run %d", byRun[run], run)
	}
}

// checkUnique wants at most one live job for a unique key, now and, as far as the attempts tell, at any earlier time.
func (r *report) checkUnique() {
	r.checkEqual()
	type key struct{ tenant, key string }
	held := map[key][]*millrace.Job{}
	for _, j := range r.jobs {
		if j.Unique != nil && j.Unique.TTL == 0 && !j.Cached {
			held[key{j.Tenant, j.Unique.Key}] = append(held[key{j.Tenant, j.Unique.Key}], j)
		}
	}
	for k, jobs := range held {
		for i, a := range jobs {
			for _, b := range jobs[:i] {
				r.say(!a.State.Final() && !b.State.Final(), "I4", a.ID, "lives with the unique key %q, and so does %s", k.key, b.ID)
				from, to := lifetime(a)
				from2, to2 := lifetime(b)
				r.say(!from.IsZero() && !from2.IsZero() && from.Before(to2) && from2.Before(to), "I4", a.ID,
					"ran with the unique key %q while %s did", k.key, b.ID)
			}
		}
	}
}

// lifetime is when the job's run surely lived: from its first attempt to its end. Both are the ledger's own times.
func lifetime(j *millrace.Job) (from, to time.Time) {
	for _, a := range j.Attempts {
		if a.Run == j.Run {
			return a.StartedAt, j.FinishedAt
		}
	}
	return time.Time{}, time.Time{}
}
