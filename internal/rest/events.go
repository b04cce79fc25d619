package rest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/notify"
)

// progressGap is the least time between two progress events of a stream: more than a person sees is waste.
const progressGap = 100 * time.Millisecond

// jobEvents streams a job's life as server-sent events: state (the job), progress, and done (the job), after which the stream ends. A stream
// that resumes begins with the present state, whatever was missed.
func (s *Server) jobEvents(c echo.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	if s.streams.Add(1) > int64(s.Limits.Streams) {
		s.streams.Add(-1)
		return &millrace.Error{Kind: millrace.Unavailable, RetryAfter: 5,
			Detail: fmt.Sprintf("this process serves %d event streams, which is its limit; ask with ?wait= instead", s.Limits.Streams)}
	}
	s.metrics.streams.Inc()
	defer func() {
		s.metrics.streams.Dec()
		s.streams.Add(-1)
	}()
	watch := s.Hub.Watch(id) // before the first read, so that no change falls between
	defer watch.Close()
	job, err := s.Ledger.Job(c.Request().Context(), tenant(c), id)
	if err != nil {
		return fromLedger(err)
	}
	if job.State.Final() && c.Request().Header.Get("Last-Event-ID") == doneID(job) {
		return noContent(c) // the client has it all; 204 tells a browser not to come again
	}
	st := &stream{server: s, c: c, conn: http.NewResponseController(c.Response()), job: job}
	st.begin()
	if err := st.run(watch.C); err != nil {
		s.Log.Debug("event stream ended", "request_id", requestID(c), "error", err)
	}
	return nil
}

// stream is one open event stream. It belongs to its request's goroutine.
type stream struct {
	server   *Server
	c        echo.Context
	conn     *http.ResponseController
	job      *millrace.Job // as last sent
	sent     int
	progress time.Time // when progress was last sent
}

func (st *stream) begin() {
	h := st.c.Response().Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	st.c.Response().WriteHeader(http.StatusOK)
}

// run sends the present state and what follows until the job is final, the client leaves or the server closes.
func (st *stream) run(news <-chan notify.Event) error {
	s, ctx := st.server, st.c.Request().Context()
	if err := st.state(); err != nil || st.job.State.Final() {
		return err
	}
	alive := time.NewTicker(s.Limits.KeepAlive)
	defer alive.Stop()
	reread := time.NewTicker(s.Limits.Reread)
	defer reread.Stop()
	for {
		var err error
		select {
		case e := <-news:
			if e.State == st.job.State && e.Progress != nil {
				err = st.progressed(*e.Progress)
			} else {
				err = st.reread()
			}
			reread.Reset(s.Limits.Reread)
		case <-reread.C:
			err = st.reread()
		case <-alive.C:
			err = st.write(": still here\n\n")
		case <-s.closing:
			return st.write("retry: 1000\n: the server is closing, please reconnect\n\n")
		case <-ctx.Done():
			return ctx.Err()
		}
		if err != nil || st.job.State.Final() {
			return err
		}
	}
}

// reread looks into the ledger and sends what is new there. A ledger out of reach is no reason to end the stream.
func (st *stream) reread() error {
	job, err := st.server.Ledger.Job(st.c.Request().Context(), st.job.Tenant, st.job.ID)
	if classify(fromLedger(err)).Kind == millrace.Unavailable {
		return nil
	}
	if err != nil {
		return err
	}
	before := st.job
	if job.State != before.State || job.Run != before.Run || job.Starts != before.Starts {
		st.job = job
		return st.state()
	}
	return st.progressed(job.Progress)
}

// state sends the whole job, and after a final one done.
func (st *stream) state() error {
	if err := st.event("state", st.nextID(), viewJob(st.job)); err != nil || !st.job.State.Final() {
		return err
	}
	return st.event("done", doneID(st.job), viewJob(st.job))
}

func (st *stream) progressed(p millrace.Progress) error {
	if p == st.job.Progress || time.Since(st.progress) < progressGap {
		return nil // the last value is sent by the next look into the ledger at the latest
	}
	job := *st.job
	job.Progress = p
	st.job, st.progress = &job, time.Now()
	return st.event("progress", st.nextID(), viewProgress(p, job.State))
}

func (st *stream) nextID() string {
	st.sent++
	return fmt.Sprintf("%d.%d", st.job.Run, st.sent)
}

func doneID(job *millrace.Job) string { return fmt.Sprintf("%d.done", job.Run) }

func (st *stream) event(name, id string, data any) error {
	body, err := json.Marshal(data) // one line: JSON escapes line breaks
	if err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "event: %s\nid: %s\ndata: %s\n\n", name, id, body)
	return st.write(b.String())
}

// write sends text at once. A client that does not take it in time has gone.
func (st *stream) write(text string) error {
	_ = st.conn.SetWriteDeadline(time.Now().Add(st.server.Limits.WriteIdle))
	if _, err := st.c.Response().Write([]byte(text)); err != nil {
		return err
	}
	return st.conn.Flush()
}
