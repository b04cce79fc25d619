package dispatch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"sync"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/tasks"
)

func wantsCache(spec Spec, t tasks.Type) bool {
	return t.Pure && (spec.Cache == nil || *spec.Cache)
}

// cacheKey names what the job computes: (tenant, type, version, canonical params, ordered SHA-256 of the inputs). Content, not file ids, so
// that the same bytes uploaded twice are found.
func (d *Dispatcher) cacheKey(ctx context.Context, t tasks.Type, job *millrace.Job) error {
	h := sha256.New()
	for _, part := range []string{job.Tenant, t.Name, t.Version, string(job.Params)} {
		_, _ = io.WriteString(h, part)
		h.Write([]byte{0})
	}
	for _, in := range job.Inputs {
		sum, err := d.files.sum(ctx, d.Ledger, job.Tenant, in.File)
		if err != nil {
			return missing(t, job, in.File, err)
		}
		_, _ = io.WriteString(h, sum)
	}
	job.CacheKey = hex.EncodeToString(h.Sum(nil))
	return nil
}

// missing is the error of an input that could not be looked up, with a pointer to where the client spoke of it.
func missing(t tasks.Type, job *millrace.Job, file string, err error) error {
	if !errors.Is(err, store.ErrNotFound) {
		return ledgerError(err)
	}
	absent := ledgerError(store.ErrInputMissing)
	refs, _ := t.Refs(job.Params) // they were read before
	for _, ref := range refs {
		if e, ok := errors.AsType[*millrace.Error](absent); ok && ref.File == file {
			named := *e
			named.Fields = []millrace.FieldError{{Pointer: ref.Pointer, Detail: "does not exist"}}
			return &named
		}
	}
	return absent
}

// refs looks up the files that a job's params speak of, where the cache key does not.
func (d *Dispatcher) refs(ctx context.Context, t tasks.Type, job *millrace.Job) error {
	refs, err := t.Refs(job.Params)
	if err != nil {
		return err
	}
	for _, ref := range refs {
		if _, err := d.files.sum(ctx, d.Ledger, job.Tenant, ref.File); err != nil {
			return missing(t, job, ref.File, err)
		}
	}
	return nil
}

// fromCache finishes the job with an earlier one's result. No hit answers nil, nil. The row of a hit is committed like any other, so that ids,
// lists and retention behave alike.
func (d *Dispatcher) fromCache(ctx context.Context, job *millrace.Job, key *Key) (*millrace.Job, error) {
	r, ok := d.lookup(ctx, job)
	if !ok {
		return nil, nil
	}
	row := cachedRow(*job, r)
	hit := row.Job
	row.Idempotency = key.idempotency(hit)
	err := d.insertOne(ctx, row)
	if errors.Is(err, store.ErrStaleResult) {
		d.Results.Invalidate(ctx, job.Tenant+"/"+job.CacheKey)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return hit, nil
}

// lookup finds what an earlier job computed.
func (d *Dispatcher) lookup(ctx context.Context, job *millrace.Job) (r store.Result, ok bool) {
	if job.State != millrace.Queued || job.CacheKey == "" {
		return r, false // one that is to run later: what is cached then is not known now
	}
	raw, err := d.Results.Get(ctx, job.Tenant+"/"+job.CacheKey, func(ctx context.Context) ([]byte, error) {
		r, err := d.Ledger.Result(ctx, job.Tenant, job.CacheKey)
		if err != nil {
			return nil, err
		}
		return json.Marshal(r)
	})
	if err != nil {
		if !errors.Is(err, store.ErrNotFound) {
			d.Log.Warn("result cache lookup failed", "error", err)
		}
		return r, false
	}
	return r, json.Unmarshal(raw, &r) == nil
}

// coalesced is the row of a job that waits if an equal one lives. One that is to run later is not compared: it runs when it is due.
func coalesced(job *millrace.Job, key *Key) store.NewJob {
	row := store.NewJob{Job: job, Idempotency: key.idempotency(job), Coalesce: job.State == millrace.Queued && job.CacheKey != ""}
	if key != nil && row.Coalesce {
		waits := *job
		waits.State = millrace.Waiting
		row.AnswerWaiting = key.Answer(&waits)
	}
	return row
}

// cachedRow is the row of a job that is over before it began.
func cachedRow(job millrace.Job, r store.Result) store.NewJob {
	job.State, job.Cached, job.Result = millrace.Succeeded, true, r.Result
	job.StartedAt, job.FinishedAt = job.CreatedAt, job.CreatedAt
	job.ExpiresAt = job.CreatedAt.Add(job.Retention)
	row := store.NewJob{Job: &job}
	for _, out := range r.Outputs {
		row.From = append(row.From, out.File)
		out.File = newID()
		job.Outputs = append(job.Outputs, out)
	}
	return row
}

// fileIndex remembers the SHA-256 of files by id, which never changes. That a file still exists is checked by the insert.
type fileIndex struct {
	mu   sync.Mutex
	sums map[string]string
}

const maxFileIndex = 10_000

func newFileIndex() *fileIndex { return &fileIndex{sums: make(map[string]string)} }

func (x *fileIndex) sum(ctx context.Context, ledger Ledger, tenant, id string) (string, error) {
	key := tenant + "/" + id
	x.mu.Lock()
	sum, ok := x.sums[key]
	x.mu.Unlock()
	if ok {
		return sum, nil
	}
	f, err := ledger.File(ctx, tenant, id)
	if err != nil {
		return "", err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.sums) >= maxFileIndex {
		clear(x.sums)
	}
	x.sums[key] = f.SHA256
	return f.SHA256, nil
}
