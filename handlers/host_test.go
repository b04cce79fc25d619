package handlers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/handlers"
	"github.com/millrace/millrace/internal/raster"
	"github.com/millrace/millrace/tasks"
	"github.com/millrace/millrace/tasks/taskstest"
)

// product is the list of task types as boot makes it. Compiling the schemas takes longer than most tests.
var product = sync.OnceValues(func() (tasks.List, error) {
	return tasks.NewList(handlers.All(handlers.Deps{Images: raster.New()})...)
})

// typeOf finds a task type of the product.
func typeOf(t testing.TB, name string) tasks.Type {
	t.Helper()
	list, err := product()
	if err != nil {
		t.Fatal(err)
	}
	typ, ok := list.Get(name)
	if !ok {
		t.Fatalf("no task type %s", name)
	}
	return typ
}

// run decodes params and runs an attempt on inputs; the result is decoded into an R.
func run[R any](t testing.TB, name, params string, inputs ...taskstest.Input) (R, *taskstest.Host, error) {
	t.Helper()
	var result R
	typ := typeOf(t, name)
	canonical, err := typ.Decode(json.RawMessage(params))
	if err != nil {
		t.Fatalf("Decode(%s): %v", params, err)
	}
	host := new(taskstest.Host)
	raw, err := typ.Run(t.Context(), host.Call(inputs...), canonical)
	if now, _ := host.Reserved(); now != 0 {
		t.Errorf("%s left %d bytes reserved", name, now)
	}
	if err != nil {
		if len(host.Outputs()) != 0 {
			t.Errorf("%s failed and completed an output", name)
		}
		return result, host, err
	}
	if err := json.Unmarshal(raw, &result); err != nil {
		t.Fatalf("result of %s: %v", name, err)
	}
	return result, host, nil
}

// onlyOutput returns the one output of an attempt.
func onlyOutput(t testing.TB, host *taskstest.Host) (name string, data []byte) {
	t.Helper()
	if len(host.Outputs()) != 1 {
		t.Fatalf("%d outputs, want 1", len(host.Outputs()))
	}
	for name, data = range host.Outputs() {
	}
	return name, data
}

// codeOf is the code that an attempt failed with.
func codeOf(err error) millrace.Code {
	if e, ok := errors.AsType[*millrace.Error](err); ok {
		return e.Code
	}
	return ""
}

// streamHost is a tasks.Host for inputs that are larger than memory: the input is generated while it is read, outputs are counted and gone.
type streamHost struct {
	size int64 // of the input, as it is announced
	name string
	in   io.Reader
	out  io.Writer // nil: discarded

	onRead   func() // after each read of the input
	read     atomic.Int64
	written  atomic.Int64
	created  atomic.Int64
	closed   atomic.Int64
	reserved atomic.Int64
}

// call makes a Call on n inputs, which share one stream.
func (h *streamHost) call(n int) *tasks.Call {
	return tasks.NewCall(h, slices.Repeat([]millrace.File{{ID: "f", Name: h.name, Size: h.size}}, n))
}

func (h *streamHost) Open(context.Context, millrace.File) (tasks.InputFile, error) {
	return streamInput{host: h}, nil
}

func (h *streamHost) Create(context.Context, string) (io.WriteCloser, error) {
	h.created.Add(1)
	return &streamOutput{host: h}, nil
}

func (h *streamHost) Progress(millrace.Progress) {}

func (h *streamHost) Reserve(_ context.Context, n int64) (func(), error) {
	h.reserved.Add(n)
	return func() { h.reserved.Add(-n) }, nil
}

// streamInput goes on serving bytes after the context has ended, as a page cache would: stopping is up to the handler.
type streamInput struct {
	host *streamHost
	tasks.InputFile
}

func (i streamInput) Read(p []byte) (int, error) {
	n, err := i.host.in.Read(p)
	i.host.read.Add(int64(n))
	if i.host.onRead != nil {
		i.host.onRead()
	}
	return n, err
}

func (i streamInput) Close() error { return nil }

type streamOutput struct{ host *streamHost }

func (o *streamOutput) Write(p []byte) (int, error) {
	o.host.written.Add(int64(len(p)))
	if o.host.out != nil {
		return o.host.out.Write(p)
	}
	return len(p), nil
}

func (o *streamOutput) Close() error { o.host.closed.Add(1); return nil }

// repeat serves pattern again and again, n bytes in all.
type repeat struct {
	pattern []byte
	left    int64
	at      int
}

func newRepeat(pattern []byte, n int64) *repeat {
	return &repeat{pattern: bytes.Repeat(pattern, 1+(1<<20)/len(pattern)), left: n}
}

func (r *repeat) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(int64(len(p)), r.left)], r.pattern[r.at:])
	r.at = (r.at + n) % len(r.pattern)
	r.left -= int64(n)
	return n, nil
}
