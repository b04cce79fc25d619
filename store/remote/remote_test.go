package remote_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/remote"
	"github.com/millrace/millrace/store/storetest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.RunWorker(t, func(t *testing.T) storetest.Backend {
		c := &clock{}
		l, path := openLedger(t, c), socket(t)
		serve(t, listen(t, path), l)
		return storetest.Backend{Ledger: l, Worker: dial(t, path), Now: c.Now, Age: c.Age}
	})
}

func TestModel(t *testing.T) {
	t.Parallel()
	storetest.RunModel(t, func(t *testing.T) storetest.Backend {
		c := &clock{}
		l, path := openLedger(t, c), socket(t)
		stop := make(chan struct{})
		var drain sync.WaitGroup
		t.Cleanup(func() { close(stop); drain.Wait() }) // after the server has ended, which waits for its hook
		gone, _ := serve(t, listen(t, path), l)
		drain.Go(func() { // more workers than the channel holds go when the one connection does
			for {
				select {
				case <-gone:
				case <-stop:
					return
				}
			}
		})
		return storetest.Backend{Ledger: l, Worker: dial(t, path), Now: c.Now, Age: c.Age}
	})
}

func TestSocketMode(t *testing.T) {
	t.Parallel()
	path := socket(t)
	serve(t, listen(t, path), openLedger(t, &clock{}))
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the socket = %v, want 0600", info.Mode())
	}
}

// TestGone: the end of a connection is the death of its worker, except after Leave.
func TestGone(t *testing.T) {
	t.Parallel()
	path := socket(t)
	gone, _ := serve(t, listen(t, path), openLedger(t, &clock{}))
	dies, leaves := newWorker(), newWorker()
	a, b := dial(t, path), dial(t, path)
	for c, w := range map[*remote.Client]millrace.Worker{a: dies, b: leaves} {
		if err := c.Register(t.Context(), w); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Leave(t.Context(), leaves.ID); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.Close(), a.Close()); err != nil {
		t.Fatal(err)
	}
	if id := await(t, "gone", gone); id != dies.ID {
		t.Errorf("gone: %s, want %s", id, dies.ID)
	}
	// A third one shows that the second is not merely late.
	c := newWorker()
	last := dial(t, path)
	if err := errors.Join(last.Register(t.Context(), c), last.Close()); err != nil {
		t.Fatal(err)
	}
	if id := await(t, "gone", gone); id != c.ID {
		t.Errorf("gone: %s, want %s", id, c.ID)
	}
	if _, err := last.Beat(t.Context(), store.Beat{Worker: c.ID}); !errors.Is(err, remote.ErrClosed) {
		t.Errorf("Beat after Close = %v, want ErrClosed", err)
	}
}

// recorder notes the order of calls, and makes Beat wait when told so.
type recorder struct {
	store.WorkerLedger
	mu    sync.Mutex
	calls []string
	enter chan struct{} // Beat says that it has come
	leave chan struct{} // and waits for this
}

func (r *recorder) note(call string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, call)
}

func (r *recorder) Register(ctx context.Context, w millrace.Worker) error {
	r.note("register " + w.ID)
	return r.WorkerLedger.Register(ctx, w)
}

func (r *recorder) Beat(ctx context.Context, b store.Beat) (store.BeatReply, error) {
	r.note("beat")
	if r.enter != nil {
		r.enter <- struct{}{}
		<-r.leave
	}
	return r.WorkerLedger.Beat(ctx, b)
}

// beatUntil repeats a beat until it gets through, as every caller does.
func beatUntil(t *testing.T, c *remote.Client, worker string) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		_, err := c.Beat(t.Context(), store.Beat{Worker: worker})
		if err == nil {
			return
		}
		if errors.Is(err, store.ErrBuried) || time.Now().After(deadline) {
			t.Fatalf("Beat: %v", err)
		}
	}
}

// TestRestart: the process that keeps the ledger restarts and knows nobody; each worker comes back under its id before it says anything else,
// and is not taken for dead.
func TestRestart(t *testing.T) {
	t.Parallel()
	path, w := socket(t), newWorker()
	gone, stop := serve(t, listen(t, path), openLedger(t, &clock{}))
	c := dial(t, path)
	if err := c.Register(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	beatUntil(t, c, w.ID)
	stop()
	if _, err := c.Beat(t.Context(), store.Beat{Worker: w.ID}); err == nil {
		t.Error("Beat without a server succeeded")
	}
	second := &recorder{WorkerLedger: openLedger(t, &clock{})}
	serve(t, listen(t, path), second)
	beatUntil(t, c, w.ID)
	second.mu.Lock()
	defer second.mu.Unlock()
	if diff := cmp.Diff([]string{"register " + w.ID, "beat"}, second.calls); diff != "" {
		t.Errorf("calls after the restart (-want +got):\n%s", diff)
	}
	select {
	case id := <-gone:
		t.Errorf("the end of the server was taken for the death of %s", id)
	default:
	}
}

// TestBuriedAtReconnect: who comes back after its burial hears so, and may take a new identity.
func TestBuriedAtReconnect(t *testing.T) {
	t.Parallel()
	path, w := socket(t), newWorker()
	l := openLedger(t, &clock{})
	_, stop := serve(t, listen(t, path), l)
	c := dial(t, path)
	if err := errors.Join(c.Register(t.Context(), w), l.Bury(t.Context(), w.ID, store.Death{Crash: true})); err != nil {
		t.Fatal(err)
	}
	stop()
	gone, _ := serve(t, listen(t, path), l)
	var err error
	for err = remote.ErrDisconnected; errors.Is(err, remote.ErrDisconnected); {
		_, err = c.Beat(t.Context(), store.Beat{Worker: w.ID})
	}
	if !errors.Is(err, store.ErrBuried) {
		t.Fatalf("Beat = %v, want ErrBuried", err)
	}
	w = newWorker()
	if err := c.Register(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	beatUntil(t, c, w.ID)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if id := await(t, "gone", gone); id != w.ID {
		t.Errorf("gone: %s, want the new identity %s", id, w.ID)
	}
}

// TestSlowCall: a stuck ledger holds up neither a caller whose time is over nor the calls beside it; and a call that has come is answered
// although the server is to end.
func TestSlowCall(t *testing.T) {
	t.Parallel()
	path, w := socket(t), newWorker()
	slow := &recorder{WorkerLedger: openLedger(t, &clock{}), enter: make(chan struct{}), leave: make(chan struct{})}
	_, stop := serve(t, listen(t, path), slow)
	c := dial(t, path)
	if err := c.Register(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { _, err := c.Beat(ctx, store.Beat{Worker: w.ID}); first <- err }()
	await(t, "first beat", slow.enter)
	if _, _, err := c.TakeBlob(t.Context(), "t", "00"); err != nil {
		t.Errorf("TakeBlob beside a slow call: %v", err)
	}
	cancel()
	if err := await(t, "canceled beat", first); !errors.Is(err, context.Canceled) {
		t.Errorf("Beat = %v, want context.Canceled", err)
	}
	slow.leave <- struct{}{}
	go func() { _, err := c.Beat(context.Background(), store.Beat{Worker: w.ID}); second <- err }()
	await(t, "second beat", slow.enter)
	go func() { slow.leave <- struct{}{} }()
	stop()
	if err := await(t, "second beat", second); err != nil {
		t.Errorf("Beat that came before the end: %v", err)
	}
}

// TestLost: calls under way when the connection breaks fail at once, and say that the outcome is unknown.
func TestLost(t *testing.T) {
	t.Parallel()
	path := socket(t)
	ln := listen(t, path)
	defer func() { _ = ln.Close() }()
	accepted := make(chan net.Conn, 1)
	go func() {
		if conn, err := ln.Accept(); err == nil {
			accepted <- conn
		}
	}()
	c := dial(t, path)
	failed := make(chan error, 8)
	for range cap(failed) {
		go func() { _, err := c.Claim(context.Background(), "w", nil); failed <- err }()
	}
	conn := await(t, "connection", accepted)
	if _, err := remote.ReadFrame(bufio.NewReader(conn)); err != nil {
		t.Fatal(err)
	}
	// Who has not connected yet would wait for an answer that never comes.
	if err := errors.Join(ln.Close(), conn.Close()); err != nil {
		t.Fatal(err)
	}
	lost := 0
	for range cap(failed) {
		err := await(t, "failed call", failed)
		if err == nil {
			t.Error("a call succeeded without an answer")
		}
		if errors.Is(err, remote.ErrDisconnected) {
			lost++
		}
	}
	if lost == 0 {
		t.Error("no call heard ErrDisconnected, want at least the one that was read")
	}
}

// failing answers every call with one error.
type failing struct{ store.WorkerLedger }

func (failing) TakeBlob(_ context.Context, kind, _ string) (string, bool, error) {
	for _, err := range storeErrors() {
		if err.Error() == kind {
			return "", false, fmt.Errorf("take blob: %w", err)
		}
	}
	return "", false, errors.New("disk on fire")
}

func storeErrors() []error {
	return []error{
		store.ErrNotFound, store.ErrState, store.ErrInUse, store.ErrInputMissing, store.ErrStaleResult, store.ErrBuried, store.ErrFull,
		store.ErrOtherBlobStore, store.ErrNewerSchema, context.DeadlineExceeded,
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	path := socket(t)
	serve(t, listen(t, path), failing{})
	c := dial(t, path)
	for _, want := range storeErrors() {
		_, _, err := c.TakeBlob(t.Context(), want.Error(), "")
		if !errors.Is(err, want) || err.Error() != "take blob: "+want.Error() {
			t.Errorf("TakeBlob = %v, want %v", err, want)
		}
	}
	_, _, err := c.TakeBlob(t.Context(), "other", "")
	if err == nil || err.Error() != "disk on fire" {
		t.Errorf("TakeBlob = %v, want the ledger's own words", err)
	}
}

// TestTooLarge: a message over the bound is refused by itself; the connection and its worker live on.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	path := socket(t)
	gone, _ := serve(t, listen(t, path), openLedger(t, &clock{}))
	c, w := dial(t, path), newWorker()
	if err := c.Register(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	huge := json.RawMessage(`"` + strings.Repeat("x", remote.MaxFrame) + `"`)
	_, err := c.Finish(t.Context(), []store.Outcome{{Job: "j", Fence: 1, Kind: store.OutcomeSucceeded, Result: huge}})
	if !errors.Is(err, remote.ErrTooLarge) {
		t.Errorf("Finish of 16 MiB = %v, want ErrTooLarge", err)
	}
	if _, err := c.Beat(t.Context(), store.Beat{Worker: w.ID}); err != nil {
		t.Errorf("Beat after it: %v", err)
	}
	if len(gone) != 0 {
		t.Error("the worker was taken for dead")
	}
}

// TestLargeTogether: what fits one by one is cut into messages that fit, both ways.
func TestLargeTogether(t *testing.T) {
	t.Parallel()
	path, l := socket(t), openLedger(t, &clock{})
	gone, _ := serve(t, listen(t, path), l)
	c, w := dial(t, path), newWorker()
	if err := c.Register(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	large := json.RawMessage(`"` + strings.Repeat("x", remote.MaxFrame/3) + `"`)
	var rows []store.NewJob
	var deliveries []store.Delivery
	for range 5 {
		j := &millrace.Job{ID: newWorker().ID, Tenant: "t", State: millrace.Queued, Queue: "cpu.normal", Params: large, Run: 1, Fence: 1}
		rows = append(rows, store.NewJob{Job: j})
		deliveries = append(deliveries, store.Delivery{Job: j.ID, Fence: 1})
	}
	if err := errors.Join(l.Insert(t.Context(), rows)...); err != nil {
		t.Fatal(err)
	}
	claimed, err := c.Claim(t.Context(), w.ID, deliveries)
	if err != nil || len(claimed) != len(rows) {
		t.Fatalf("Claim = %d jobs, %v, want %d", len(claimed), err, len(rows))
	}
	outcomes := make([]store.Outcome, len(claimed))
	for i, got := range claimed {
		if got.Job == nil || got.Job.ID != deliveries[i].Job || len(got.Job.Params) != len(large) {
			t.Fatalf("claim %d is not of delivery %d", i, i)
		}
		outcomes[i] = store.Outcome{Job: got.Job.ID, Tenant: "t", Fence: got.Job.Fence, Kind: store.OutcomeSucceeded, Result: large}
	}
	outcomes[3].Fence++ // which must lose, in its place
	won, err := c.Finish(t.Context(), outcomes)
	if diff := cmp.Diff([]bool{true, true, true, false, true}, won); err != nil || diff != "" {
		t.Errorf("Finish: %v, won (-want +got):\n%s", err, diff)
	}
	if len(gone) != 0 {
		t.Error("the worker was taken for dead")
	}
}

// TestStranger: bytes of no client end their own connection, nothing else.
func TestStranger(t *testing.T) {
	t.Parallel()
	path := socket(t)
	serve(t, listen(t, path), openLedger(t, &clock{}))
	for _, bytes := range []string{"GET / HTTP/1.1\r\n\r\n", "\x00\x00\x00\x02{}", "\xff\xff\xff\xff", "\x00\x00\x00\x04null"} {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte(bytes)); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		if n, err := conn.Read(make([]byte, 1)); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%q: read %d bytes, %v, want the end of the connection", bytes, n, err)
		}
		_ = conn.Close()
	}
	beatAs(t, path)
}

// beatAs registers a worker of its own and beats once.
func beatAs(t *testing.T, path string) {
	t.Helper()
	c, w := dial(t, path), newWorker()
	if err := c.Register(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	beatUntil(t, c, w.ID)
}

// TestUnknownMethod is a client of a newer version.
func TestUnknownMethod(t *testing.T) {
	t.Parallel()
	path := socket(t)
	serve(t, listen(t, path), openLedger(t, &clock{}))
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	w := bufio.NewWriter(conn)
	for _, body := range []string{"{\"id\":7,\"method\":\"fly\"}\n{}", "{\"id\":8,\"method\":\"beat\"}\n[]", `{"id":9,"method":"beat"}`} {
		if err := errors.Join(remote.WriteFrame(w, []byte(body)), w.Flush()); err != nil {
			t.Fatal(err)
		}
	}
	r := bufio.NewReader(conn)
	for range 3 {
		body, err := remote.ReadFrame(r)
		if err != nil || !strings.Contains(string(body), `"error"`) {
			t.Errorf("reply = %s, %v, want an error", body, err)
		}
	}
}

// TestNoServer: without anybody there a call fails by itself or with its context, and never hangs.
func TestNoServer(t *testing.T) {
	t.Parallel()
	path := socket(t)
	c := dial(t, path)
	if err := c.Register(t.Context(), newWorker()); err == nil {
		t.Error("Register without a socket succeeded")
	}
	ln := listen(t, path) // somebody listens, but nobody answers: the ledger's process is about to start
	defer func() { _ = ln.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := c.Register(ctx, newWorker()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Register without an answer = %v, want DeadlineExceeded", err)
	}
	waiting := make(chan error, 1)
	go func() { waiting <- c.Register(context.Background(), newWorker()) }()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := await(t, "Register", waiting); !errors.Is(err, remote.ErrClosed) {
		t.Errorf("Register when the client closes = %v, want ErrClosed", err)
	}
}
