package dispatch

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/queue"
	"github.com/millrace/millrace/store"
)

// lookups is how many questions for the result cache a batch asks at once.
const lookups = 8

// Batch gathers the jobs of one request, which are committed together. It is used by one goroutine.
type Batch struct {
	d      *Dispatcher
	tenant string
	items  []BatchItem
	rows   []store.NewJob
	at     []int // which item a row is of
	pure   []int // rows whose result may be known
	presets
}

// BatchItem is what became of one job of a batch.
type BatchItem struct {
	ID  string // of the accepted job
	Err error  // why it was refused, a millrace.Error; nil when it was not
}

// BatchKey is the idempotency key of a batch.
type BatchKey struct {
	Key, Hash string
	// Answer makes what a repetition is told. It may be called more than once and must not block.
	Answer func([]BatchItem) []byte
}

// Batch begins a batch of about n jobs.
func (d *Dispatcher) Batch(tenant string, n int) *Batch {
	return &Batch{d: d, tenant: tenant, presets: presets{find: d.preset}, items: make([]BatchItem, 0, n), rows: make([]store.NewJob, 0, n), at: make([]int, 0, n)}
}

// Len is the number of jobs so far, refused ones included.
func (b *Batch) Len() int { return len(b.items) }

// Add takes the next job, or refuses it.
func (b *Batch) Add(ctx context.Context, spec Spec) {
	t, job, err := b.d.prepare(ctx, spec, b.preset)
	if err != nil {
		b.Refuse(err)
		return
	}
	if wantsCache(spec, t) && len(job.Inputs) > 0 {
		b.pure = append(b.pure, len(b.rows))
	}
	b.at = append(b.at, len(b.items))
	b.rows = append(b.rows, store.NewJob{Job: job})
	b.items = append(b.items, BatchItem{ID: job.ID})
}

// maxItemFields bounds what is said of one refused job: ten thousand of them are held until the answer is out.
const maxItemFields = 5

// Refuse notes that the next job cannot be taken.
func (b *Batch) Refuse(err error) {
	if e, ok := errors.AsType[*millrace.Error](err); ok && len(e.Fields) > maxItemFields {
		short := *e
		short.Fields = slices.Clone(e.Fields[:maxItemFields])
		err = &short
	}
	b.items = append(b.items, BatchItem{Err: err})
}

// Commit writes all jobs that can be accepted in one durable transaction and sends what has room in the queues. What was refused is said item by
// item. An error means that the batch as a whole was not accepted: *store.ReplayedError when the key was used before. key may be nil.
func (b *Batch) Commit(ctx context.Context, key *BatchKey) ([]BatchItem, error) {
	if b.lost != nil {
		return nil, b.lost
	}
	if err := b.d.Room(); err != nil {
		return nil, err
	}
	if err := b.askCache(ctx, key != nil); err != nil {
		return nil, err
	}
	b.open()
	rows := b.rows
	errs, err := b.insert(ctx, key, rows)
	if err != nil {
		return nil, err
	}
	if key == nil {
		b.replaceStale(ctx, errs)
	}
	items := b.merge(errs)
	b.send(errs)
	return items, nil
}

// open decides which rows this process sends itself: as many as their queues have room for.
func (b *Batch) open() {
	for i := range b.rows {
		if row := &b.rows[i]; row.State == millrace.Queued && b.d.window.take(row.Queue) {
			row.DispatchAfter = grace
		}
	}
}

func (b *Batch) insert(ctx context.Context, key *BatchKey, rows []store.NewJob) (errs []error, err error) {
	var kept *store.Idempotency
	answer := func([]error) []byte { return nil }
	if key != nil {
		kept = &store.Idempotency{Key: key.Key, Hash: key.Hash}
		answer = func(errs []error) []byte { return key.Answer(b.merge(errs)) }
	}
	if len(rows) == 0 && key == nil {
		return nil, nil
	}
	err = b.d.again(ctx, func() (err error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), batchTimeout) // a client that leaves does not undo what it asked for
		defer cancel()
		errs, err = b.d.Ledger.InsertBatch(ctx, b.tenant, kept, rows, answer)
		return err
	})
	if err == nil {
		b.d.backlog.accepted(len(rows))
	}
	if _, replayed := errors.AsType[*store.ReplayedError](err); err != nil && !replayed {
		err = ledgerError(err)
	}
	return errs, err
}

// merge puts the ledger's refusals beside those that are known already.
func (b *Batch) merge(errs []error) []BatchItem {
	items := make([]BatchItem, len(b.items))
	copy(items, b.items)
	for i, err := range errs {
		if errors.Is(err, store.ErrStaleResult) {
			err = &millrace.Error{Kind: millrace.Unavailable, Err: err, Detail: "the earlier result was deleted at this moment; submit the job again"}
		}
		if err != nil {
			items[b.at[i]] = BatchItem{Err: ledgerError(err)}
		}
	}
	return items
}

// send hands the accepted rows to the sender behind the caller's back.
func (b *Batch) send(errs []error) {
	group := make([]queue.Task, 0, len(b.rows))
	for i, row := range b.rows {
		if row.DispatchAfter > 0 && errs[i] == nil && row.State == millrace.Queued {
			group = append(group, queue.Task{Job: row.ID, Fence: row.Fence, Type: row.Type, Queue: row.Queue})
		}
	}
	b.d.sends.sendGroup(group)
}

// askCache finishes jobs whose result is known. Under an idempotency key the ledger itself is asked: the answer is kept with the jobs, so that a
// hit that turns out to be gone cannot be put right afterwards.
func (b *Batch) askCache(ctx context.Context, fresh bool) error {
	if len(b.pure) == 0 {
		return nil
	}
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		fault error
		next  = make(chan int)
		drop  = make([]error, len(b.rows))
	)
	for range min(lookups, len(b.pure)) {
		wg.Go(func() {
			for row := range next {
				err := b.ask(ctx, row, fresh)
				switch {
				case err == nil:
				case millrace.KindOf(err) == millrace.Invalid:
					drop[row] = err
				default:
					mu.Lock()
					fault = err
					mu.Unlock()
				}
			}
		})
	}
	for _, row := range b.pure {
		mu.Lock()
		failed := fault != nil
		mu.Unlock()
		if failed {
			break
		}
		next <- row
	}
	close(next)
	wg.Wait()
	if fault == nil {
		b.drop(drop)
	}
	return fault
}

// ask looks one row's result up. Each row is asked for by one goroutine.
func (b *Batch) ask(ctx context.Context, row int, fresh bool) error {
	job := b.rows[row].Job
	t, _ := b.d.Types.Get(job.Type)
	if err := b.d.cacheKey(ctx, t, job); err != nil {
		return err
	}
	var r store.Result
	ok := false
	if !fresh {
		r, ok = b.d.lookup(ctx, job)
	} else if job.State == millrace.Queued {
		var err error
		r, err = b.d.Ledger.Result(ctx, job.Tenant, job.CacheKey)
		ok = err == nil // anything else: it is computed again
	}
	if ok {
		b.rows[row] = cachedRow(*job, r)
	} else {
		b.rows[row] = coalesced(job, nil)
	}
	return nil
}

// drop takes out rows that are refused.
func (b *Batch) drop(errs []error) {
	kept := 0
	for i, row := range b.rows {
		if errs[i] != nil {
			b.items[b.at[i]] = BatchItem{Err: errs[i]}
			continue
		}
		b.rows[kept], b.at[kept] = row, b.at[i]
		kept++
	}
	b.rows, b.at = b.rows[:kept], b.at[:kept]
}

// replaceStale runs the jobs whose cached result is gone. What becomes of them is theirs alone: the others are accepted.
func (b *Batch) replaceStale(ctx context.Context, errs []error) {
	var stale []int
	var rows []store.NewJob
	for i, err := range errs {
		if errors.Is(err, store.ErrStaleResult) {
			plain := *b.rows[i].Job
			b.d.Results.Invalidate(ctx, plain.Tenant+"/"+plain.CacheKey)
			plain.State, plain.Cached, plain.Result, plain.Outputs = millrace.Queued, false, nil, nil
			plain.StartedAt, plain.FinishedAt, plain.ExpiresAt = millrace.Job{}.StartedAt, millrace.Job{}.FinishedAt, millrace.Job{}.ExpiresAt
			stale, rows = append(stale, i), append(rows, coalesced(&plain, nil))
		}
	}
	if len(rows) == 0 {
		return
	}
	second, err := b.insert(ctx, nil, rows)
	for i, row := range stale {
		if errs[row] = err; err == nil {
			errs[row], b.rows[row] = second[i], rows[i]
		}
	}
}
