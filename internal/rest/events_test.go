package rest_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/notify"
	"github.com/millrace/millrace/internal/rest"
	"github.com/millrace/millrace/internal/testrig"
	"github.com/millrace/millrace/store"
)

// event is one server-sent event, or a comment.
type event struct{ name, id, data, comment string }

// listener reads an event stream.
type listener struct {
	t    *testing.T
	resp *http.Response
	in   *bufio.Scanner
}

func (m *mill) listen(path string, options ...option) *listener {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), 30*time.Second)
	m.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, m.url+path, nil)
	m.must(err)
	for _, o := range options {
		o(r)
	}
	resp, err := http.DefaultClient.Do(r)
	m.must(err)
	m.t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" || resp.Header.Get("X-Accel-Buffering") != "no" {
		m.t.Fatalf("GET %s = %d %v", path, resp.StatusCode, resp.Header)
	}
	in := bufio.NewScanner(resp.Body)
	in.Buffer(nil, 1<<20)
	return &listener{m.t, resp, in}
}

// next reads one event; ok is false at the end of the stream.
func (l *listener) next() (e event, ok bool) {
	l.t.Helper()
	for l.in.Scan() {
		line := l.in.Text()
		if line == "" {
			return e, true
		}
		field, value, _ := strings.Cut(line, ": ")
		switch field {
		case "event":
			e.name = value
		case "id":
			e.id = value
		case "data":
			e.data = value
		case "":
			e.comment = value
		}
	}
	if err := l.in.Err(); err != nil {
		l.t.Fatalf("the stream broke off: %v", err)
	}
	return e, false
}

// want reads events until one of that name comes, and returns it.
func (l *listener) want(name string) event {
	l.t.Helper()
	for {
		e, ok := l.next()
		if !ok {
			l.t.Fatalf("the stream ended without %s", name)
		}
		if e.name == name {
			return e
		}
	}
}

func stateOf(t *testing.T, e event) millrace.State {
	t.Helper()
	var j job
	if err := json.Unmarshal([]byte(e.data), &j); err != nil {
		t.Fatalf("data of %s = %q: %v", e.name, e.data, err)
	}
	return j.State
}

// never is a time that no test waits for: what happens before it was woken, not polled.
const never = time.Hour

func TestEventsFromBeginningToEnd(t *testing.T) {
	t.Parallel()
	m := newMill(t, func(c *rest.Config) { c.Limits.Reread = 20 * time.Millisecond })
	j := m.submit(m.upload("a", "x").ID)
	l := m.listen(j.URL + "/events")
	if s := stateOf(t, l.want("state")); s != millrace.Queued {
		t.Errorf("first state = %s, want queued", s)
	}
	c := m.claim(j.ID)
	if s := stateOf(t, l.want("state")); s != millrace.Running {
		t.Errorf("second state = %s, want running", s)
	}
	_, err := m.Ledger.Beat(t.Context(), store.Beat{Worker: m.worker, Running: []store.Holding{
		{Job: j.ID, Fence: c.Job.Fence, Progress: &millrace.Progress{Done: 3, Total: 4, Unit: "bytes"}}}})
	m.must(err)
	var p struct {
		Done    int64   `json:"done"`
		Percent float64 `json:"percent"`
	}
	if e := l.want("progress"); json.Unmarshal([]byte(e.data), &p) != nil || p.Done != 3 || p.Percent != 75 {
		t.Errorf("progress = %+v", e)
	}
	m.finish(c, store.OutcomeSucceeded, "out")
	if s := stateOf(t, l.want("state")); s != millrace.Succeeded {
		t.Errorf("last state = %s", s)
	}
	done := l.want("done")
	if s := stateOf(t, done); s != millrace.Succeeded {
		t.Errorf("done = %s", s)
	}
	if e, ok := l.next(); ok {
		t.Errorf("after done came %+v", e)
	}

	again := m.listen(j.URL+"/events", header("Last-Event-ID", "1.1"))
	if s := stateOf(t, again.want("state")); s != millrace.Succeeded {
		t.Errorf("a resumed stream began with %s", s)
	}
	again.want("done")
	if a := m.get(j.URL+"/events", header("Last-Event-ID", done.id)); a.StatusCode != http.StatusNoContent {
		t.Errorf("a client that has seen done is answered %d", a.StatusCode)
	}
}

func TestEventsAreWoken(t *testing.T) {
	t.Parallel()
	m := newMill(t, func(c *rest.Config) { c.Limits.Reread, c.Limits.KeepAlive = never, 20*time.Millisecond })
	j := m.submit(m.upload("a", "x").ID)
	l := m.listen(j.URL + "/events")
	l.want("state")
	if e, _ := l.next(); e.comment == "" {
		t.Errorf("a quiet stream said %+v, want a comment", e)
	}
	c := m.claim(j.ID)
	stop := m.repeat(func() {
		m.publisher.Publish(t.Context(), []notify.Event{{Job: j.ID, State: millrace.Running, Progress: &millrace.Progress{Done: 1, Total: 2}}})
	})
	l.want("state")
	l.want("progress")
	stop()
	m.finish(c, store.OutcomeFailed, "")
	l.want("done")
}

// repeat does something again and again, since the hub may not be listening yet, until stop is called.
func (m *mill) repeat(do func()) (stop func()) {
	done := make(chan struct{})
	var ended sync.WaitGroup
	ended.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			do()
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	})
	return func() {
		close(done)
		ended.Wait()
	}
}

func TestEventStreamsAreCounted(t *testing.T) {
	t.Parallel()
	m := newMill(t, func(c *rest.Config) { c.Limits.Streams = 1 })
	j := m.submit(m.upload("a", "x").ID)
	l := m.listen(j.URL + "/events")
	l.want("state")
	a := m.get(j.URL + "/events")
	if p := wantProblem(t, a, http.StatusServiceUnavailable); a.Header.Get("Retry-After") == "" || !strings.Contains(p.Detail, "1 ") {
		t.Errorf("one stream too many = %+v", p)
	}
	wantProblem(t, m.get("/v1/jobs/"+newID()+"/events"), http.StatusServiceUnavailable)
	read[job](t, m.do(http.MethodPost, j.URL+"/cancel", nil), http.StatusOK)
	l.want("done")
	if _, ok := l.next(); ok {
		t.Error("the stream goes on after done")
	}
	m.listen(j.URL + "/events").want("done") // its place is free again
}

func TestEventsOfNoJob(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	wantProblem(t, m.get("/v1/jobs/"+newID()+"/events"), http.StatusNotFound)
	wantProblem(t, m.get("/v1/jobs/x/events"), http.StatusNotFound)
}

func TestEventsSurviveTheLedger(t *testing.T) {
	t.Parallel()
	var flaky *flakyLedger
	m := newMill(t, func(c *rest.Config) {
		flaky = &flakyLedger{Ledger: c.Ledger}
		c.Ledger, c.Limits.Reread = flaky, 10*time.Millisecond
	})
	j := m.submit(m.upload("a", "x").ID)
	l := m.listen(j.URL + "/events")
	l.want("state")
	flaky.fail(3)
	read[job](t, m.do(http.MethodPost, j.URL+"/cancel", nil), http.StatusOK)
	l.want("done")
	if left := flaky.left(); left != 0 {
		t.Errorf("the ledger was to fail %d times more", left)
	}
}

// flakyLedger fails the next reads of a job.
type flakyLedger struct {
	rest.Ledger
	mu    sync.Mutex
	fails int
}

func (f *flakyLedger) fail(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fails = n
}

func (f *flakyLedger) left() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fails
}

func (f *flakyLedger) Job(ctx context.Context, tenant, id string) (*millrace.Job, error) {
	f.mu.Lock()
	failing := f.fails > 0
	if failing {
		f.fails--
	}
	f.mu.Unlock()
	if failing {
		return nil, errors.New("database is away")
	}
	return f.Ledger.Job(ctx, tenant, id)
}

func TestWait(t *testing.T) {
	t.Parallel()
	m := newMill(t, func(c *rest.Config) { c.Limits.Reread = never })
	f := m.upload("a", "x")
	j := m.submit(f.ID)
	if got := read[job](t, m.get(j.URL+"?wait=30ms"), http.StatusOK); got.State != millrace.Queued {
		t.Errorf("after the wait the job is %s, want queued", got.State)
	}
	answered := async(func() answer { return m.get(j.URL + "?wait=60s") })
	c := m.claim(j.ID)
	m.finish(c, store.OutcomeSucceeded, "")
	stop := m.repeat(func() {
		m.publisher.Publish(t.Context(), []notify.Event{{Job: j.ID, State: millrace.Succeeded}})
	})
	defer stop()
	if got := read[job](t, <-answered, http.StatusOK); got.State != millrace.Succeeded {
		t.Errorf("woken with %s", got.State)
	}
	if got := read[job](t, m.get(j.URL+"?wait=60s"), http.StatusOK); got.State != millrace.Succeeded {
		t.Errorf("a final job waited and is %s", got.State)
	}
	for _, bad := range []string{"61s", "-1s", "10", "x"} {
		wantProblem(t, m.get(j.URL+"?wait="+bad), http.StatusBadRequest)
	}
}

func TestWaitRereadsWithoutNews(t *testing.T) {
	t.Parallel()
	m := newMill(t, func(c *rest.Config) { c.Limits.Reread = 10 * time.Millisecond })
	j := m.submit(m.upload("a", "x").ID)
	answered := async(func() answer { return m.get(j.URL + "?wait=60s") })
	_, err := m.Ledger.Cancel(t.Context(), millrace.DefaultTenant, j.ID) // nobody tells the hub
	m.must(err)
	if got := read[job](t, <-answered, http.StatusOK); got.State != millrace.Canceled {
		t.Errorf("job = %s", got.State)
	}
}

// slowLedger lets a job change between the moment it was read and the moment the caller hears.
type slowLedger struct {
	rest.Ledger
	once  sync.Once
	after func()
}

func (s *slowLedger) Job(ctx context.Context, tenant, id string) (*millrace.Job, error) {
	j, err := s.Ledger.Job(ctx, tenant, id)
	s.once.Do(s.after)
	return j, err
}

func TestWaitMissesNoChangeBetweenReadAndWatch(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"?wait=20s", "/events"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			slow := &slowLedger{}
			m := newMill(t, func(c *rest.Config) {
				slow.Ledger = c.Ledger
				c.Ledger, c.Limits.Reread = slow, never
			})
			j := m.submit(m.upload("a", "x").ID)
			c := m.claim(j.ID)
			m.hubListens()
			slow.after = func() { m.finish(c, store.OutcomeSucceeded, "") }
			a := m.get(j.URL + path)
			if a.StatusCode != http.StatusOK || !strings.Contains(string(a.body), `"state":"succeeded"`) {
				t.Errorf("GET %s = %d %s", path, a.StatusCode, a.body)
			}
		})
	}
}

// hubListens waits until news reach the hub.
func (m *mill) hubListens() {
	m.t.Helper()
	testrig.Eventually(m.t, "the hub to listen", func() bool {
		n, err := m.Redis.PubSubNumSub(m.t.Context(), "millrace:events").Result()
		return err == nil && n["millrace:events"] > 0
	})
}

func TestSubmitAndWait(t *testing.T) {
	t.Parallel()
	m := newMill(t, func(c *rest.Config) { c.Limits.Reread = 10 * time.Millisecond })
	body := `{"type":"compute.checksum","cache":false,"input":{"file":"` + m.upload("a", "x").ID + `"}}`
	if j := read[job](t, m.postJSON("/v1/jobs?wait=20ms", body), http.StatusAccepted); j.State != millrace.Queued {
		t.Errorf("after the wait the job is %s", j.State)
	}
	answered := async(func() answer { return m.postJSON("/v1/jobs?wait=60s", body) })
	var id string
	testrig.Eventually(t, "the second job in the ledger", func() bool {
		jobs, err := m.Ledger.List(t.Context(), millrace.DefaultTenant, store.JobFilter{Limit: 5})
		m.must(err)
		id = jobs[0].ID
		return len(jobs) == 2
	})
	m.finish(m.claim(id), store.OutcomeSucceeded, "")
	a := <-answered
	if j := read[job](t, a, http.StatusOK); j.State != millrace.Succeeded || a.Header.Get("Location") != j.URL {
		t.Errorf("job = %+v, Location %q", j, a.Header.Get("Location"))
	}
}
