package tasks

import (
	"context"
	"io"

	"github.com/millrace/millrace"
)

// Call is one attempt as its handler sees it: inputs as streams, outputs as streams, progress, and memory to ask for.
// It may be used from several goroutines of the handler.
type Call struct {
	host   Host
	inputs []millrace.File
}

// Host is what a Call stands on: the worker's runner in the product, taskstest.Host in tests.
type Host interface {
	// Open opens an input's bytes. Reads fail with ctx's error once ctx has ended.
	Open(ctx context.Context, file millrace.File) (InputFile, error)
	// Create begins an output. Nothing of it exists for anybody until the whole attempt has succeeded.
	Create(ctx context.Context, name string) (io.WriteCloser, error)
	// Progress notes how far the attempt is; the last value wins. It never blocks.
	Progress(p millrace.Progress)
	// Reserve takes a share of the process's memory budget, which is held until release is called. It waits no longer than a moment.
	Reserve(ctx context.Context, bytes int64) (release func(), err error)
}

// InputFile is an open input.
type InputFile interface {
	io.Reader
	io.ReaderAt
	io.Seeker
	io.Closer
}

// NewCall makes the Call of an attempt on inputs.
func NewCall(host Host, inputs []millrace.File) *Call { return &Call{host: host, inputs: inputs} }

// Inputs describes the job's inputs in order.
func (c *Call) Inputs() []millrace.File { return c.inputs }

// Open opens the i-th input. Reads fail with ctx's error once ctx has ended. The handler closes it.
func (c *Call) Open(ctx context.Context, i int) (InputFile, error) {
	return c.host.Open(ctx, c.inputs[i])
}

// Create begins an output called name, which must be unique within the job and is a plain file name. Close completes it and reports what went
// wrong on the way, a full disk for instance; without a Close it is thrown away. Writes fail with ctx's error once ctx has ended. The content
// type is sniffed from the bytes. Outputs exist for others only once the attempt has succeeded, so a handler never cleans up.
func (c *Call) Create(ctx context.Context, name string) (io.WriteCloser, error) {
	return c.host.Create(ctx, name)
}

// Progress notes how far the attempt is. It is cheap, may be called for every chunk, and the last value wins.
func (c *Call) Progress(done, total int64, unit, message string) {
	c.host.Progress(millrace.Progress{Done: done, Total: total, Unit: unit, Message: message})
}

// Reserve asks for bytes of the process's memory budget before a big buffer is made: all that the job will need, once, as soon as its header has
// been read. While others have them it answers an error, which the handler returns: the job is put back and no attempt spent. More than the
// whole budget is a permanent too_large. The handler calls release when the buffer is gone.
func (c *Call) Reserve(ctx context.Context, bytes int64) (release func(), err error) {
	return c.host.Reserve(ctx, bytes)
}
