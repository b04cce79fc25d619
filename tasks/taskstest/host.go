// Package taskstest gives handlers' tests a Host in memory: inputs from bytes, outputs to bytes, every rule of tasks.Host kept.
package taskstest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/tasks"
)

// Host is a tasks.Host in memory. The zero value is ready.
type Host struct {
	Budget int64 // bytes that Reserve grants at a time; 0: without limit

	mu       sync.Mutex
	inputs   map[string][]byte
	outputs  map[string][]byte
	progress []millrace.Progress
	reserved int64
	peak     int64
}

// Call makes a Call on named inputs, given as name, bytes, name, bytes …
func (h *Host) Call(inputs ...Input) *tasks.Call {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.inputs = make(map[string][]byte)
	files := make([]millrace.File, 0, len(inputs))
	for i, in := range inputs {
		id := fmt.Sprintf("file-%d", i)
		h.inputs[id] = in.Data
		files = append(files, millrace.File{ID: id, Name: in.Name, Size: int64(len(in.Data)), SHA256: fmt.Sprintf("%x", sha256.Sum256(in.Data))})
	}
	return tasks.NewCall(h, files)
}

// Input is a named file for a Call.
type Input struct {
	Name string
	Data []byte
}

// Outputs returns what was created and closed, by name.
func (h *Host) Outputs() map[string][]byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.outputs
}

// Reported returns every progress value in order.
func (h *Host) Reported() []millrace.Progress {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.progress
}

// Reserved returns the bytes reserved now and the most that were reserved at once.
func (h *Host) Reserved() (now, peak int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.reserved, h.peak
}

// Open implements tasks.Host.
func (h *Host) Open(ctx context.Context, file millrace.File) (tasks.InputFile, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return input{ctx: ctx, Reader: bytes.NewReader(h.inputs[file.ID])}, nil
}

type input struct {
	ctx context.Context
	*bytes.Reader
}

func (i input) Read(p []byte) (int, error) {
	if err := context.Cause(i.ctx); err != nil {
		return 0, err
	}
	return i.Reader.Read(p)
}

func (i input) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, struct{ io.Reader }{i}) }
func (i input) Close() error                       { return nil }

// Create implements tasks.Host.
func (h *Host) Create(ctx context.Context, name string) (io.WriteCloser, error) {
	if name != strings.TrimSpace(name) || strings.Trim(name, ". ") == "" || len(name) > 255 || strings.ContainsAny(name, `/\`) {
		return nil, fmt.Errorf("output name %q is no plain file name", name)
	}
	return &output{host: h, ctx: ctx, name: name}, nil
}

type output struct {
	host *Host
	ctx  context.Context
	name string
	buf  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	if err := context.Cause(o.ctx); err != nil {
		return 0, err
	}
	return o.buf.Write(p)
}

func (o *output) Close() error {
	o.host.mu.Lock()
	defer o.host.mu.Unlock()
	if _, ok := o.host.outputs[o.name]; ok {
		return fmt.Errorf("output %q was created twice", o.name)
	}
	if o.host.outputs == nil {
		o.host.outputs = make(map[string][]byte)
	}
	o.host.outputs[o.name] = o.buf.Bytes()
	return nil
}

// Progress implements tasks.Host.
func (h *Host) Progress(p millrace.Progress) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.progress = append(h.progress, p)
}

// Reserve implements tasks.Host.
func (h *Host) Reserve(_ context.Context, bytes int64) (func(), error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.Budget > 0 && h.reserved+bytes > h.Budget {
		return nil, millrace.BadInput(millrace.CodeTooLarge, "needs %d bytes of memory, the budget is %d", bytes, h.Budget)
	}
	h.reserved += bytes
	h.peak = max(h.peak, h.reserved)
	return sync.OnceFunc(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.reserved -= bytes
	}), nil
}
