package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/fault"
	"github.com/millrace/millrace/internal/media"
	"github.com/millrace/millrace/internal/notify"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/blob"
	"github.com/millrace/millrace/tasks"
)

// publishEvery is how often progress is sent to watchers at most; the ledger hears of it with the beat.
const publishEvery = 200 * time.Millisecond

// host is what the handler of one attempt stands on.
type host struct {
	worker *Worker
	job    *millrace.Job

	mu      sync.Mutex // guards outputs; held while they are published, which takes as long as the stores do
	outputs []*output

	news     sync.Mutex // guards what follows; never held for long, because the beat waits for it
	progress millrace.Progress
	dirty    bool      // progress has changed since the last beat
	told     time.Time // when watchers heard last
	kept     *grant    // memory that the handler has not asked for yet
	granted  []*grant
	over     bool // the handler has returned: what it left running changes nothing any more
}

// newHost makes a host at the beginning of an attempt. Watchers hear of that, so of the progress they hear a while after.
func newHost(w *Worker, job *millrace.Job) *host { return &host{worker: w, job: job, told: time.Now()} }

// Open opens an input; its reads fail once ctx has ended.
func (h *host) Open(ctx context.Context, file millrace.File) (tasks.InputFile, error) {
	r, err := h.worker.Blobs.Open(ctx, file.Blob)
	if err != nil {
		return nil, fmt.Errorf("open input %s: %w", file.ID, err)
	}
	return &input{ctx: ctx, Reader: r}, nil
}

type input struct {
	ctx context.Context
	blob.Reader
}

func (i *input) Read(p []byte) (int, error) {
	if i.ctx.Err() != nil {
		return 0, context.Cause(i.ctx)
	}
	return i.Reader.Read(p)
}

func (i *input) ReadAt(p []byte, off int64) (int, error) {
	if i.ctx.Err() != nil {
		return 0, context.Cause(i.ctx)
	}
	return i.Reader.ReadAt(p, off)
}

// Name is the path of the input's file, where the store keeps files: engines in other processes read it there. Else it is "".
func (i *input) Name() string {
	if f, ok := i.Reader.(interface{ Name() string }); ok {
		return f.Name()
	}
	return ""
}

// output is one output being written. Its bytes stay in a temporary place until the attempt has succeeded.
type output struct {
	ctx    context.Context
	name   string
	w      blob.Writer
	head   []byte // the first bytes, to tell the content type
	err    error  // the first failed write: such an output must not be published
	closed bool
	key    string // once committed by this attempt
}

// Create begins an output.
func (h *host) Create(ctx context.Context, name string) (io.WriteCloser, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, o := range h.outputs {
		if o.name == name {
			return nil, fmt.Errorf("output %q was created twice", name)
		}
	}
	if name != media.CleanName(name) {
		return nil, fmt.Errorf("output name %q is no plain file name", name)
	}
	w, err := h.worker.Blobs.Create(ctx)
	if err != nil {
		return nil, fmt.Errorf("create output %s: %w", name, err)
	}
	o := &output{ctx: ctx, name: name, w: w}
	h.outputs = append(h.outputs, o)
	return o, nil
}

func (o *output) Write(p []byte) (int, error) {
	if o.ctx.Err() != nil {
		return 0, context.Cause(o.ctx)
	}
	if o.err != nil {
		return 0, o.err
	}
	if room := media.SniffLen - len(o.head); room > 0 {
		o.head = append(o.head, p[:min(room, len(p))]...)
	}
	fault.Point(fault.Writing)
	n, err := o.w.Write(p)
	o.err = err
	return n, err
}

func (o *output) Close() error {
	o.closed = true
	return o.err
}

var errOpen = errors.New("the handler did not close it")

func (o *output) complete() error {
	if o.err == nil && !o.closed {
		return errOpen
	}
	return o.err
}

// publish makes the outputs durable. They become visible with the outcome, or not at all.
func (h *host) publish(ctx context.Context) ([]store.NewOutput, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	published := make([]store.NewOutput, 0, len(h.outputs))
	for _, o := range h.outputs {
		if err := o.complete(); err != nil {
			return nil, fmt.Errorf("output %s was not completed: %w", o.name, err)
		}
		sum, size := o.w.Sum()
		// Without an answer the copy is published as well: twice the bytes cost less than the attempt.
		key, known, err := h.worker.Ledger.TakeBlob(ctx, h.job.Tenant, sum)
		known = known && err == nil
		if !known {
			if key, err = o.w.Commit(ctx); err != nil {
				return nil, fmt.Errorf("publish output %s: %w", o.name, err)
			}
			o.key = key
		}
		published = append(published, store.NewOutput{Blob: key, Output: millrace.Output{
			Name: o.name, File: newID(), Size: size, ContentType: media.ContentType(o.head), SHA256: sum}})
	}
	for _, o := range h.outputs {
		if o.key == "" {
			_ = o.w.Abort() // the tenant has these bytes already
		}
	}
	return published, nil
}

// discard removes what the attempt wrote and, where published says so, what it has published too, because nobody refers to it.
func (h *host) discard(published bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, o := range h.outputs {
		if o.key == "" {
			_ = o.w.Abort()
			continue
		}
		if !published {
			continue
		}
		if err := h.worker.Blobs.Remove(context.Background(), o.key); err != nil {
			h.worker.Log.Warn("cannot remove an output that nobody needs; the collector will", "error", err)
		}
	}
}

// Progress keeps the newest value for the next beat and tells watchers now and then.
func (h *host) Progress(p millrace.Progress) {
	h.news.Lock()
	defer h.news.Unlock()
	if h.over {
		return
	}
	h.progress, h.dirty = p, true
	if now := time.Now(); now.Sub(h.told) >= publishEvery {
		h.told = now
		h.worker.news.add(notify.Event{Tenant: h.job.Tenant, Job: h.job.ID, State: millrace.Running, Progress: &p})
	}
}

// unheard is the progress that the ledger has not heard of, or nil.
func (h *host) unheard() *millrace.Progress {
	h.news.Lock()
	defer h.news.Unlock()
	if !h.dirty {
		return nil
	}
	h.dirty = false
	p := h.progress
	return &p
}

func (h *host) last() millrace.Progress {
	h.news.Lock()
	defer h.news.Unlock()
	return h.progress
}

// Reserve asks for memory. Without room the handler gets an error that puts its job back.
func (h *host) Reserve(ctx context.Context, bytes int64) (func(), error) {
	if bytes <= 0 {
		return func() {}, nil
	}
	if g := h.takeKept(bytes); g != nil {
		return g.release, nil
	}
	g, err := h.worker.budget.reserve(ctx, h.job.ID, bytes)
	if err != nil {
		return nil, err
	}
	h.news.Lock()
	defer h.news.Unlock()
	h.granted = append(h.granted, g)
	return g.release, nil
}

// end says that the handler has returned. It answers with the memory that it has not given back: something of it goes on.
func (h *host) end() []*grant {
	h.news.Lock()
	defer h.news.Unlock()
	h.over = true
	return slices.DeleteFunc(slices.Clone(h.granted), (*grant).released)
}

// takeKept is the memory that the worker has got for the job before the handler asked, or nil.
func (h *host) takeKept(bytes int64) *grant {
	h.news.Lock()
	defer h.news.Unlock()
	g := h.kept
	if g == nil || g.bytes < bytes {
		return nil
	}
	h.kept = nil
	h.granted = append(h.granted, g)
	return g
}

// dropKept gives back what the handler has never asked for.
func (h *host) dropKept() {
	h.news.Lock()
	defer h.news.Unlock()
	if h.kept != nil {
		h.kept.release()
		h.kept = nil
	}
}

// again makes the host ready for another call of the handler: nothing of the first one is left, and g is there to be asked for.
func (h *host) again(g *grant) {
	h.discard(true)
	h.mu.Lock()
	h.outputs = nil
	h.mu.Unlock()
	h.news.Lock()
	defer h.news.Unlock()
	h.kept, h.granted, h.over = g, nil, false
}
