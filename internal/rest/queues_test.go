package rest_test

import (
	"context"
	"net/http"
	"slices"
	"testing"

	"github.com/millrace/millrace/internal/rest"
	"github.com/millrace/millrace/store"
)

type queueRow struct {
	Name   string `json:"name"`
	Depth  int    `json:"depth"`
	Paused bool   `json:"paused"`
}

func (m *mill) paused() []string {
	m.t.Helper()
	var names []string
	for _, q := range read[struct{ Items []queueRow }](m.t, m.get("/v1/queues"), http.StatusOK).Items {
		if q.Paused {
			names = append(names, q.Name)
		}
	}
	return names
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	m := newMill(t)
	j := m.submit(m.upload("a", "x").ID)
	for range 2 { // a repetition changes nothing
		if q := read[queueRow](t, m.do(http.MethodPost, "/v1/queues/io.normal/pause", nil), http.StatusOK); !q.Paused || q.Name != "io.normal" {
			t.Errorf("paused = %+v", q)
		}
	}
	if got := m.paused(); !slices.Equal(got, []string{"io.normal"}) {
		t.Errorf("paused queues = %v", got)
	}
	claimed, err := m.Ledger.Claim(t.Context(), m.worker, []store.Delivery{{Job: j.ID, Fence: m.Job(j.ID).Fence}})
	if err != nil || claimed[0].Job != nil {
		t.Errorf("a job of a paused queue was claimed: %v, %v", claimed, err)
	}
	if hint, err := m.Queue.Paused(t.Context()); err != nil || !slices.Equal(hint, []string{"io.normal"}) {
		t.Errorf("the queue hands nothing out of %v, %v", hint, err)
	}
	if q := read[queueRow](t, m.do(http.MethodPost, "/v1/queues/io.normal/resume", nil), http.StatusOK); q.Paused {
		t.Errorf("resumed = %+v", q)
	}
	if got := m.paused(); len(got) != 0 {
		t.Errorf("paused queues = %v", got)
	}
	m.claim(j.ID)
	for _, name := range []string{"no.such", "io", "io.normal%00"} {
		wantProblem(t, m.do(http.MethodPost, "/v1/queues/"+name+"/pause", nil), http.StatusNotFound)
	}
	wantProblem(t, m.postJSON("/v1/queues/io.normal/pause", `{"for":"1h"}`), http.StatusBadRequest)
}

// hangingLedger does not answer for depths until it is let go.
type hangingLedger struct {
	rest.Ledger
	asked chan struct{}
	let   chan struct{}
}

func (h *hangingLedger) Depths(ctx context.Context, limit int) ([]store.Depth, error) {
	h.asked <- struct{}{}
	select {
	case <-h.let:
		return h.Ledger.Depths(ctx, limit)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// TestQueuesAreLookedAtOnceForAll also when the client that asked first goes away.
func TestQueuesAreLookedAtOnceForAll(t *testing.T) {
	t.Parallel()
	h := &hangingLedger{asked: make(chan struct{}, 100), let: make(chan struct{})}
	m := newMill(t, func(c *rest.Config) { h.Ledger, c.Ledger = c.Ledger, h })
	ctx, leave := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		r, _ := http.NewRequestWithContext(ctx, http.MethodGet, m.url+"/v1/queues", nil)
		resp, err := http.DefaultClient.Do(r)
		if err == nil {
			_ = resp.Body.Close()
		}
		first <- err
	}()
	<-h.asked
	var others []<-chan answer
	for range 5 {
		others = append(others, async(func() answer { return m.get("/v1/queues") }))
	}
	leave()
	if err := <-first; err == nil {
		t.Error("the first client did not leave")
	}
	close(h.let)
	for _, other := range others {
		read[struct{ Items []queueRow }](t, <-other, http.StatusOK)
	}
	if n := len(h.asked); n > 1 {
		t.Errorf("the ledger was asked %d times more", n)
	}
}
