package rest

import (
	"context"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/millrace/millrace"
)

// queryWait reads ?wait=, 0 when it is absent.
func (s *Server) queryWait(c echo.Context) (time.Duration, error) {
	v := c.QueryParam("wait")
	if v == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(v)
	if err != nil || d < 0 || d > s.Limits.Wait {
		return 0, badQuery("wait", "must be a duration of at most %s, such as 30s", s.Limits.Wait)
	}
	return d, nil
}

// waitFor reads a job, and where wait is given, again until the job is final, wait is over or the server is closing. It watches before it
// reads, so that no change falls between the two, and rereads now and then in case a wake-up was lost.
func (s *Server) waitFor(ctx context.Context, tenant, id string, wait time.Duration) (*millrace.Job, error) {
	if wait <= 0 {
		job, err := s.Ledger.Job(ctx, tenant, id)
		return job, fromLedger(err)
	}
	watch := s.Hub.Watch(id)
	defer watch.Close()
	over := time.NewTimer(wait)
	defer over.Stop()
	reread := time.NewTicker(s.Limits.Reread)
	defer reread.Stop()
	for {
		job, err := s.Ledger.Job(ctx, tenant, id)
		if err != nil || job.State.Final() {
			return job, fromLedger(err)
		}
		for stale := false; !stale; {
			select {
			case e := <-watch.C:
				stale = e.State != job.State // progress alone is no reason to read
			case <-reread.C:
				stale = true
			case <-over.C:
				return job, nil
			case <-s.closing:
				return job, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
	}
}
