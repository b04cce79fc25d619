package sim_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/tasks"
)

// The task types of the simulation, one in each pool.
const (
	typeCPU = "sim.cpu"
	typeIO  = "sim.io"
)

// work is what a job's attempts do: the n-th one that counts follows the n-th step, and what comes after the last succeeds.
type work struct {
	Token   string `json:"token"`
	Steps   []step `json:"steps,omitempty"`
	Crashes int    `json:"crashes,omitempty"` // so many handlers first end their process
	Ms      int    `json:"ms"`                // of the success
	Output  int    `json:"output,omitempty"`  // number of the bytes that it writes, 0: none
}

type step struct {
	Do string `json:"do"`
	Ms int    `json:"ms"`
}

// What a step may do.
const (
	doFail   = "fail"
	doReject = "reject"
	doHang   = "hang" // until its context ends
	doDeaf   = "deaf" // and does not listen
	doPanic  = "panic"
)

func newWork(d dice, token string) work {
	w := work{Token: token, Ms: d.IntN(700)}
	for d.chance(0.3) && len(w.Steps) < 3 {
		w.Steps = append(w.Steps, step{Do: []string{doFail, doFail, doFail, doReject, doHang, doDeaf, doPanic}[d.IntN(7)], Ms: d.IntN(400)})
	}
	if d.chance(0.05) {
		w.Crashes = 1 + d.IntN(5)
	}
	if d.chance(0.5) {
		w.Output = 1 + d.IntN(outputs)
	}
	return w
}

// newEqualWork is what several jobs ask for. It ends soon, since of jobs that fail each by itself one runs after the other.
func newEqualWork(d dice, token string) work {
	w := work{Token: token, Ms: 200 + d.IntN(1200), Output: 1 + d.IntN(outputs)}
	if d.chance(0.5) {
		w.Steps = []step{{Do: []string{doFail, doReject, doPanic}[d.IntN(3)], Ms: 100 + d.IntN(400)}}
	}
	return w
}

// outputs is how many different outputs there are: few, so that jobs share bytes.
const outputs = 5

func outputBytes(number int) []byte { return fmt.Appendf(nil, "flour %d", number) }

// slow says whether the job runs into its timeout by itself.
func (w work) slow() bool {
	return slices.ContainsFunc(w.Steps, func(s step) bool { return s.Do == doHang || s.Do == doDeaf })
}

// result is what a success answers: which attempt it was.
type result struct {
	Fence int64 `json:"fence"`
}

// rig is what outlives a world: the task types, which cost a while to make, and the place of the ledgers.
type rig struct {
	dir   string
	empty []byte
	types map[string]tasks.List // by slot
	world atomic.Pointer[world]
}

func newRig(t testing.TB) *rig {
	t.Helper()
	dir := scratch(t)
	r := &rig{dir: dir, empty: template(t, dir), types: map[string]tasks.List{}}
	for _, name := range []string{"worker-1", "worker-2", kindAlone, kindAPI} {
		var err error
		r.types[name], err = tasks.NewList(r.bind(name, typeCPU, millrace.CPU), r.bind(name, typeIO, millrace.IO))
		if err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func (r *rig) bind(slot, name string, pool millrace.Pool) tasks.Type {
	return tasks.Bind(tasks.Declaration[work]{Name: name, Title: name, Version: "1", Pool: pool, Pure: true},
		func(ctx context.Context, call *tasks.Call, p work) (any, error) {
			return r.world.Load().handle(ctx, slot, call, p)
		})
}

// handle is the handler of every job. It lives in the process that runs in its slot.
func (w *world) handle(ctx context.Context, name string, call *tasks.Call, p work) (any, error) {
	w.mu.Lock()
	h := w.held[name+" "+p.Token]
	w.calls[p.Token]++
	called := w.calls[p.Token]
	w.mu.Unlock()
	proc := w.slot(name).process()
	if proc == nil || proc.pid != h.pid {
		return nil, errDead // a ghost of an incarnation before
	}
	w.trace.add(proc.String(), fmt.Sprintf("works on %s, run %d attempt %d", p.Token, h.run, h.attempt))
	out, err := w.perform(ctx, proc, call, p, h, called)
	if gone := proc.thawed(); gone != nil {
		return nil, gone
	}
	return out, err
}

func (w *world) perform(ctx context.Context, proc *process, call *tasks.Call, p work, h holding, called int) (any, error) {
	if err := w.readInput(ctx, proc, call); err != nil {
		return nil, err
	}
	if called <= p.Crashes && !w.healed() {
		if !proc.rest(ctx, 50*time.Millisecond) {
			return nil, ctx.Err()
		}
		w.strike("handler ends its process")
		proc.kill()
		return nil, errDead
	}
	if h.run == 1 && h.attempt <= len(p.Steps) {
		return nil, w.misbehave(ctx, proc, p.Steps[h.attempt-1])
	}
	if !proc.rest(ctx, time.Duration(p.Ms)*time.Millisecond) {
		return nil, ctx.Err()
	}
	call.Progress(1, 2, "steps", "half")
	if p.Output > 0 {
		out, err := call.Create(ctx, "out.txt")
		if err != nil {
			return nil, err
		}
		if _, err := out.Write(outputBytes(p.Output)); err != nil {
			return nil, err
		}
		if err := out.Close(); err != nil {
			return nil, err
		}
	}
	return result{h.fence}, nil
}

func (w *world) misbehave(ctx context.Context, proc *process, s step) error {
	span := time.Duration(s.Ms) * time.Millisecond
	switch s.Do {
	case doHang:
		proc.rest(ctx, time.Hour)
		return ctx.Err()
	case doDeaf:
		proc.rest(context.Background(), 2*time.Second)
		return errors.New("too late")
	}
	if !proc.rest(ctx, span) {
		return ctx.Err()
	}
	switch s.Do {
	case doReject:
		return millrace.BadInput(millrace.CodeCorrupt, "chaff")
	case doPanic:
		panic("chaff in the gears")
	}
	return errors.New("chaff")
}

// readInput reads the job's input, whose bytes are known by their sum.
func (w *world) readInput(ctx context.Context, proc *process, call *tasks.Call) error {
	in, err := call.Open(ctx, 0)
	if err != nil {
		if !w.bytesThere(call.Inputs()[0]) {
			w.wrongly("I8: the bytes of input %s are gone while a job needs them", call.Inputs()[0].ID)
		}
		return err
	}
	defer in.Close()
	data, err := io.ReadAll(in)
	if err == nil && sumOf(data) != call.Inputs()[0].SHA256 {
		w.wrongly("I6: %s read other bytes than those of input %s", proc, call.Inputs()[0].ID)
	}
	return err
}

func (w *world) bytesThere(f millrace.File) bool {
	_, ok := w.bytes.get(f.Blob)
	return ok
}

// rest lets time pass in a process; false: ctx ended, or the process did.
func (p *process) rest(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
	case <-p.gone:
	}
	return false
}

func (w *world) types(s *slot) tasks.List { return w.rig.types[s.name] }
