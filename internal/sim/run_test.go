package sim_test

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/storetest"
)

func (w *world) id() string { return uuid.Must(uuid.NewV7()).String() }

func (w *world) slot(name string) *slot {
	for _, s := range w.slots {
		if s.name == name {
			return s
		}
	}
	return nil
}

// populate starts every process.
func (w *world) populate() {
	for _, k := range []struct {
		kind string
		n    int
	}{{kindLeader, 2}, {kindAPI, 2}, {kindAlone, 1}, {kindWorker, w.plan.workers}} {
		for i := range k.n {
			name := k.kind + "-" + strconv.Itoa(i+1)
			if k.kind == kindAlone {
				name = k.kind
			}
			w.slots = append(w.slots, &slot{world: w, kind: k.kind, name: name, wanted: make(chan struct{}, 1)})
		}
	}
	for _, s := range w.slots {
		w.tasks.Go(s.keep)
		time.Sleep(w.dice("start", s.name).between(time.Millisecond, 20*time.Millisecond))
	}
}

// heal bound: with no faults any more, everything is final within it (I10).
const healing = 30 * time.Second

// run lives through the plan and answers what was violated.
func (w *world) run(ctx context.Context) error {
	w.populate()
	var clients, blows = make(chan struct{}, len(w.plan.jobs)), make(chan struct{}, len(w.plan.strikes))
	for _, r := range w.plan.jobs {
		w.tasks.Go(func() { w.live(r); clients <- struct{}{} })
	}
	for _, s := range w.plan.strikes {
		w.tasks.Go(func() { w.blow(s); blows <- struct{}{} })
	}
	for end := time.Now().Add(w.plan.span); time.Now().Before(end); {
		time.Sleep(500*time.Millisecond + 77*time.Microsecond)
		if _, err := w.watch.look(ctx); err != nil {
			return err
		}
	}
	w.heal()
	if err := w.stopSchedule(ctx); err != nil {
		return err
	}
	for range w.plan.strikes {
		<-blows
	}
	w.redis.setDown(false)
	if err := w.settle(ctx, clients); err != nil {
		return err
	}
	if w.plan.clear {
		if err := w.clearAway(ctx); err != nil {
			return err
		}
	}
	w.shutDown()
	if err := w.watch.ends(ctx); err != nil {
		return err
	}
	audit := storetest.Audit{Source: w.ledger, Tenants: []string{tenant}, History: w.history, Settled: true, Blobs: blobKeys{w.bytes}, Now: w.now()}
	if w.plan.clear {
		audit.Tidied = 70 * time.Second // of the hundred in which all is cleared away
		if err := w.collected(ctx, blobGrace+audit.Tidied); err != nil {
			return err
		}
	}
	found, err := audit.Violations(ctx)
	for _, v := range found {
		w.wrongly("%s", v)
	}
	return err
}

// heal ends all faults.
func (w *world) heal() {
	w.trace.add("world", "heals")
	w.mu.Lock()
	w.calm = true
	w.mu.Unlock()
	for _, s := range w.slots {
		if p := s.process(); p != nil {
			p.thaw()
			p.mu.Lock()
			clear(p.cut)
			p.mu.Unlock()
		}
	}
}

// settle waits until all is final and every client has done.
func (w *world) settle(ctx context.Context, clients <-chan struct{}) error {
	left, live := cap(clients), 0
	for end := time.Now().Add(healing); time.Now().Before(end); {
		time.Sleep(500*time.Millisecond + 77*time.Microsecond)
		for len(clients) > 0 {
			<-clients
			left--
		}
		var err error
		if live, err = w.watch.look(ctx); err != nil {
			return err
		}
		if live == 0 && left == 0 {
			return nil
		}
	}
	w.wrongly("I10: %d jobs are not final and %d clients wait %v after the last fault", live, left, healing)
	for ; left > 0; left-- {
		<-clients
	}
	return nil
}

// shutDown drains every process and waits for every goroutine.
func (w *world) shutDown() {
	w.trace.add("world", "shuts down")
	w.mu.Lock()
	w.ending = true
	w.mu.Unlock()
	began := time.Now()
	for _, s := range w.slots {
		if p := s.process(); p != nil {
			p.stop()
		}
	}
	w.tasks.Wait()
	w.drained = time.Since(began)
	if w.drained > 20*time.Second {
		w.wrongly("the processes took %v to end with nothing to do", w.drained)
	}
}

// blow strikes.
func (w *world) blow(s strike) {
	time.Sleep(s.at)
	if w.healed() {
		return
	}
	if s.who == "" {
		w.blowAll(s)
		return
	}
	p := w.slot(s.who).process()
	if p == nil {
		return
	}
	switch s.what {
	case strikeKill:
		w.strike(s.what + " " + p.slot.kind)
		p.kill()
	case strikeDrain:
		w.strike(s.what + " " + p.slot.kind)
		p.stop()
	case strikeFreeze:
		if p.freeze() {
			w.strike(s.what + " " + p.slot.kind)
			w.calmDown(s.span)
			p.thaw()
			w.trace.add(p.String(), "thaws")
		}
	case strikeBury:
		w.strike(s.what)
		w.buryAlive(p)
	case strikeNoLedger:
		w.strike(s.what)
		p.sever("ledger", time.Now().Add(s.span))
	case strikeNoRedis:
		w.strike(s.what)
		p.sever("redis", time.Now().Add(s.span))
	}
}

// buryAlive declares a worker dead that lives: somebody was mistaken. Its jobs go to others while it still works on them.
func (w *world) buryAlive(p *process) {
	ctx := context.Background()
	live, err := w.ledger.Workers(ctx)
	for _, one := range live {
		if err == nil && one.Host == p.slot.name {
			err = w.ledger.Bury(ctx, one.ID, store.Death{})
		}
	}
	if err == nil {
		_, err = w.ledger.Rescue(ctx)
	}
	if err != nil {
		w.wrongly("bury %s: %v", p, err)
	}
}

func (w *world) blowAll(s strike) {
	w.strike(s.what)
	switch s.what {
	case strikeFlush:
		w.redis.mini.FlushAll()
	case strikeDown, strikeLoss:
		w.redis.setDown(true)
		w.calmDown(s.span)
		if s.what == strikeLoss {
			w.redis.mini.FlushAll()
		}
		w.redis.restarted()
		w.redis.setDown(false)
	case strikeRestore:
		w.redis.save()
		w.calmDown(s.span)
		w.redis.setDown(true)
		w.redis.restore()
		w.redis.restarted()
		w.redis.setDown(false)
	case strikePause:
		w.pause(s.queue, true)
		w.calmDown(s.span)
		w.pause(s.queue, false)
	case strikeLeap:
		w.leap(s.span)
	}
}

// calmDown waits, or until the world heals.
func (w *world) calmDown(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end) && !w.healed(); {
		time.Sleep(min(d, 250*time.Millisecond))
	}
}

// blobKeys is the world's store as the audit reads it.
type blobKeys struct{ b *bytesStore }

func (k blobKeys) Keys(_ context.Context, before time.Time, yield func(string) error) error {
	for _, key := range k.b.older(before) {
		if err := yield(key); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) describe() string {
	text := fmt.Sprintf("%v of faults, window %d, weather %+v, network %+v, disk %+v", w.plan.span, w.plan.window, w.plan.weather, w.plan.network,
		w.plan.disk)
	for _, s := range w.plan.strikes {
		text += fmt.Sprintf("; at %v %s %s%s for %v", s.at, s.what, s.who, s.queue, s.span)
	}
	return text
}
