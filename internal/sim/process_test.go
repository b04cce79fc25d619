package sim_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

var (
	errDead = errors.New("this process was killed")
	errCut  = errors.New("connection reset by peer")
)

// process is one incarnation of a process: what it does to the world goes through it, and stops when it is frozen or dead.
type process struct {
	world *world
	slot  *slot
	pid   int

	stop   context.CancelFunc // SIGTERM
	exited chan struct{}      // closed when it is dead or has ended

	mu     sync.Mutex // guards what follows
	dead   bool
	gone   chan struct{} // closed at death
	ice    chan struct{} // while frozen; closed by the thaw
	links  map[*link]struct{}
	calls  map[string]int // by operation, so that the dice of one do not depend on the others
	cut    map[string]time.Time
	served sync.WaitGroup // requests at work
	closed bool           // no new requests
}

func (p *process) String() string { return fmt.Sprintf("%s/%d", p.slot.name, p.pid) }

// kill is SIGKILL: nothing of the process reaches the world any more, and no answer reaches it.
func (p *process) kill() {
	p.mu.Lock()
	if p.dead {
		p.mu.Unlock()
		return
	}
	p.dead = true
	close(p.gone)
	links := p.links
	p.links = nil
	p.mu.Unlock()
	for l := range links {
		l.Close()
	}
	p.stop() // so that its goroutines, which in truth are gone, end soon
	p.slot.exit(p)
}

func (p *process) freeze() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead || p.ice != nil {
		return false
	}
	p.ice = make(chan struct{})
	return true
}

func (p *process) thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ice != nil {
		close(p.ice)
		p.ice = nil
	}
}

// sever cuts the process off from a part of the world until then.
func (p *process) sever(what string, until time.Time) {
	p.mu.Lock()
	p.cut[what] = until
	links := make([]*link, 0, len(p.links))
	if what == "redis" {
		for l := range p.links {
			links = append(links, l)
		}
	}
	p.mu.Unlock()
	for _, l := range links {
		l.Close()
	}
}

// thawed returns when the process runs, or says that it is dead.
func (p *process) thawed() error {
	for {
		p.mu.Lock()
		ice, dead := p.ice, p.dead
		p.mu.Unlock()
		if dead {
			return errDead
		}
		if ice == nil {
			return nil
		}
		select {
		case <-ice:
		case <-p.gone:
		}
	}
}

func (p *process) remember(l *link) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		return errDead
	}
	p.links[l] = struct{}{}
	return nil
}

func (p *process) forget(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

// verdict is what befalls one call.
type verdict struct {
	out, back time.Duration
	fault     string
	late      time.Duration
}

// The faults of one call.
const (
	faultBefore = "error before"
	faultAfter  = "unknown commit"
	faultGhost  = "late commit"
	faultDelay  = "delay"
	faultCut    = "cut off"
)

// decide throws the dice of the n-th call of an operation by this process.
func (p *process) decide(op string) verdict {
	p.mu.Lock()
	n := p.calls[op]
	p.calls[op]++
	network := strings.HasPrefix(op, "redis")
	severed := time.Now().Before(p.cut["ledger"]) && !strings.HasPrefix(op, "blob.")
	if network {
		severed = time.Now().Before(p.cut["redis"])
	}
	p.mu.Unlock()
	d := p.world.dice(p.slot.name, p.pid, op, n)
	v := verdict{out: d.between(10*time.Microsecond, 400*time.Microsecond), back: d.between(10*time.Microsecond, 400*time.Microsecond)}
	if severed {
		v.fault, v.out = faultCut, d.between(time.Millisecond, 500*time.Millisecond)
		return v
	}
	if p.world.healed() {
		return v
	}
	w := p.world.plan.weather
	if network {
		w = p.world.plan.network
	} else if op == "blob.open" || op == "blob.commit" || op == "blob.remove" {
		w = p.world.plan.disk
		if op == "blob.remove" {
			w = w.times(3) // there are few, and what a failed one leaves dying is of interest
		}
	}
	switch u := d.Float64(); {
	case u < w.before:
		v.fault = faultBefore
	case u < w.before+w.after:
		v.fault = faultAfter
	case u < w.before+w.after+w.ghost:
		v.fault, v.late = faultGhost, d.between(time.Millisecond, 3*time.Second)
		if strings.HasPrefix(op, "insert") || op == "createfile" || op == "retry" || op == "pausequeue" {
			// What comes late could follow the refusal of its own repetition, or undo what came after it: nobody could tell that from a mistake.
			v.fault = faultAfter
		}
	case u < w.before+w.after+w.ghost+w.delay:
		v.fault = faultDelay
		v.out += d.between(time.Millisecond, 2*time.Second)
		v.back += d.between(time.Millisecond, 2*time.Second)
	}
	return v
}

// chance is what the product asks of its configs.
func (p *process) chance() float64 {
	p.mu.Lock()
	n := p.calls["chance"]
	p.calls["chance"]++
	p.mu.Unlock()
	return p.world.dice(p.slot.name, p.pid, "chance", n).Float64()
}

// pause is the way of a call or of its answer. A frozen process does not notice that its context ended meanwhile.
func (p *process) pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	var ended error
	select {
	case <-t.C:
	case <-ctx.Done():
		ended = ctx.Err()
	}
	p.mu.Lock()
	frozen := p.ice != nil
	p.mu.Unlock()
	if err := p.thawed(); err != nil {
		return err
	}
	if frozen {
		return nil
	}
	return ended
}

// transmit is the way of bytes to Redis: how long it takes, or that there is none.
func (p *process) transmit(op string) (time.Duration, error) {
	v := p.decide(op)
	p.mu.Lock()
	dead := p.dead
	p.mu.Unlock()
	if dead {
		return 0, errDead
	}
	if p.world.loud {
		p.world.trace.add(p.String(), op)
	}
	switch v.fault {
	case faultBefore, faultAfter, faultGhost, faultCut:
		p.world.strike("redis: " + v.fault)
		return 0, errCut
	}
	return v.out, nil
}

// do is a call of the process to a store.
func do[T any](p *process, ctx context.Context, op string, fn func(context.Context) (T, error)) (T, error) {
	var zero T
	v := p.decide(op)
	if err := p.pause(ctx, v.out); err != nil {
		return zero, err
	}
	if v.fault != "" {
		p.world.strike(op + ": " + v.fault)
	}
	sent := context.WithoutCancel(ctx) // what is sent is done, whoever waits
	switch v.fault {
	case faultBefore, faultCut:
		return zero, errCut
	case faultGhost:
		p.world.later(v.late, func() { _, _ = fn(sent) })
		return zero, errCut
	}
	answer, err := fn(sent)
	p.world.note(p, op, err)
	if lost := p.pause(ctx, v.back); lost != nil {
		return zero, lost
	}
	if v.fault == faultAfter {
		return zero, errCut
	}
	return answer, err
}

// act is do for calls that answer nothing but an error.
func act(p *process, ctx context.Context, op string, fn func(context.Context) error) error {
	_, err := do(p, ctx, op, func(ctx context.Context) (struct{}, error) { return struct{}{}, fn(ctx) })
	return err
}
