package dispatch

import (
	"context"
	"time"

	"github.com/millrace/millrace/internal/queue"
	"github.com/millrace/millrace/store"
)

const (
	refillEvery = 250 * time.Millisecond
	refillPage  = 500         // jobs per trip
	lookEvery   = time.Second // how old the window of a process may be that does not refill
	refillLock  = "millrace:refill"
	maxPause    = 5 * time.Second
)

// Refill sends what is owed until ctx ends: due retries and schedules, rescued jobs, those whose own enqueue failed, and everything after Redis
// lost its memory. Every api and scheduler process runs it; a short lock lets one of them work at a time, and it is only an economy, since
// sending twice is harmless.
func (d *Dispatcher) Refill(ctx context.Context) error {
	pause := refillEvery
	for {
		// ±20 %, so that many processes do not meet at the lock.
		wait := time.Duration(float64(pause) * (0.8 + 0.4*d.Chance()))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		if err := d.refill(ctx); err != nil && ctx.Err() == nil {
			d.refills.lost(err)
			pause = min(2*pause, maxPause)
			continue
		}
		d.refills.reached()
		pause = refillEvery
	}
}

func (d *Dispatcher) refill(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	mine, err := d.Queue.Lock(ctx, refillLock, refillEvery*8/10)
	if err != nil || !mine && !d.window.stale(lookEvery) {
		return err
	}
	depths, err := d.Queue.Depths(ctx)
	if err != nil {
		return err
	}
	room := d.window.update(depths)
	if !mine {
		return nil // another process fills; this one only has to know whether there is room for what it takes in
	}
	for len(room) > 0 {
		page := make(map[string]int, len(room))
		for name, n := range room {
			page[name] = min(n, refillPage)
		}
		sent, err := d.refillPage(ctx, page)
		if err != nil {
			return err
		}
		for name := range room {
			room[name] -= sent[name]
			if sent[name] < page[name] || room[name] <= 0 {
				delete(room, name)
			}
		}
	}
	return nil
}

// refillPage sends one page of what is owed and answers how many went to each queue.
func (d *Dispatcher) refillPage(ctx context.Context, page map[string]int) (map[string]int, error) {
	owed, err := d.Ledger.Owed(ctx, page)
	if err != nil || len(owed) == 0 {
		return nil, err
	}
	group := make([]queue.Task, 0, len(owed))
	for _, o := range owed {
		group = append(group, queue.Task{Job: o.Job, Fence: o.Fence, Type: o.Type, Queue: o.Queue})
	}
	sent := make(map[string]int)
	marked := make([]store.Delivery, 0, len(owed))
	var failed error
	for i, err := range d.Queue.Enqueue(ctx, group) {
		if err != nil {
			failed = err
			continue
		}
		sent[owed[i].Queue]++
		d.window.take(owed[i].Queue)
		marked = append(marked, owed[i].Delivery)
	}
	if len(marked) > 0 {
		if err := d.Ledger.MarkSent(ctx, marked, owed[0].Gen); err != nil {
			return nil, err
		}
	}
	return sent, failed
}
