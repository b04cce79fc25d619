package storetest

import (
	"context"
	"fmt"
)

// checkBounds is what a ledger can tell of I9.
func (r *report) checkBounds(ctx context.Context) error {
	if waiting, ok := r.Source.(interface {
		Backlog(ctx context.Context, limit int) (int, error)
	}); ok && r.Settled {
		n, err := waiting.Backlog(ctx, 1000)
		if err != nil {
			return fmt.Errorf("count what waits: %w", err)
		}
		r.say(n > 0, "I9", "", "%d jobs wait for a worker when all is over", n)
	}
	if r.Tidied == 0 {
		return nil
	}
	needed := map[string]bool{}
	for _, j := range r.jobs {
		for _, in := range j.Inputs {
			needed[in.File] = needed[in.File] || !j.State.Final()
		}
	}
	latest := r.Now.Add(-r.Tidied)
	for _, file := range r.files {
		r.say(file.ExpiresAt.Before(latest) && !needed[file.ID], "I9", file.Job, "file %s expired at %v and is still there", file.ID, file.ExpiresAt)
	}
	for _, j := range r.jobs {
		used := false
		for _, out := range j.Outputs {
			used = used || needed[out.File]
		}
		r.say(j.State.Final() && j.ExpiresAt.Before(latest) && !used, "I9", j.ID, "expired at %v and is still there", j.ExpiresAt)
	}
	return nil
}
