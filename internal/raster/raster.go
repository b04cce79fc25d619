// Package raster resizes pictures in pure Go: it sniffs, checks limits, decodes, orients, crops, resizes, converts colours and encodes.
//
// It is for pictures from strangers: headers are believed only so far as memory has been reserved for them, every decoder is called by name
// after our own look at the bytes and may panic without harm, and a result is always encoded anew, so that nothing of the input but its pixels
// (and metadata that was asked for) gets through. It is not a drawing library, and it reads and writes no files: bytes come and go through a
// tasks.Call. The geometry (geometry.go) is computed apart from the pixels, so that another engine can share it.
package raster

import (
	"cmp"
	"context"
	"fmt"
	"io"

	"github.com/millrace/millrace/tasks"
)

// Name is the engine and its version, as results state it. The version is raised when equal params give other pixels.
const Name = "raster/2"

// Engine resizes pictures. It may be used by several goroutines; a picture is worked on by the one that calls.
type Engine struct {
	limits Limits
	native Native // asked first; may be nil
	codecs *codecs
}

// New makes an Engine with DefaultLimits.
func New() *Engine { return NewLimited(DefaultLimits()) }

// NewLimited makes an Engine with limits of its own.
func NewLimited(limits Limits) *Engine { return &Engine{limits: limits, codecs: newCodecs()} }

// Limited is the engine with other limits.
func (e *Engine) Limited(limits Limits) *Engine {
	with := *e
	with.limits = limits
	return &with
}

// Create makes an output. It is told the variant's name, or "" where there are no variants, and the extension that fits, such as "jpg".
type Create = func(name, extension string) (io.WriteCloser, error)

// Resize changes the call's first input as p asks, into one output or, where p has variants, into one for each of them.
func (e *Engine) Resize(ctx context.Context, call *tasks.Call, p tasks.ResizeParams, create Create) (tasks.ResizeResult, error) {
	src, err := openSource(ctx, call, 0)
	if err != nil {
		return tasks.ResizeResult{}, err
	}
	mine := true // until the work has it, which may last longer than this call
	defer func() {
		if mine {
			_ = src.Close()
		}
	}()
	call.Progress(0, 100, "percent", "reading")
	h, err := readHeader(src, src.length, e.limits)
	if err != nil {
		return tasks.ResizeResult{}, src.cause(err)
	}
	j, err := e.newJob(h, p)
	if err != nil {
		return tasks.ResizeResult{}, err
	}
	marks, err := e.planMarks(ctx, call, j.outputs)
	if err != nil {
		return tasks.ResizeResult{}, err
	}
	offered := e.offer(ctx, j, src)
	release, err := call.Reserve(ctx, withMarks(max(j.memory(), offered.memory()), marks))
	if err != nil {
		return tasks.ResizeResult{}, fmt.Errorf("reserve memory for %d × %d pixels: %w", h.width, h.height, err)
	}
	mine = false
	work := func() (tasks.ResizeResult, error) {
		defer src.Close()
		defer release()
		return e.work(ctx, call, j, marks, src, offered, create)
	}
	if j.large() {
		return letGo(ctx, work)
	}
	return work()
}

// work makes the outputs: natively where that can be, else by this package's own means.
func (e *Engine) work(ctx context.Context, call *tasks.Call, j *job, marks []*mark, src *source, offered *offer, create Create) (tasks.ResizeResult, error) {
	for _, m := range marks {
		if err := m.draw(ctx, call); err != nil {
			return tasks.ResizeResult{}, about("watermark", err)
		}
	}
	if j.film() {
		result, err := j.play(ctx, src, call, create)
		if err != nil {
			err = src.cause(err)
		}
		return result, err
	}
	var d decoded
	made, err := e.natively(ctx, offered, j, src, cmp.Or(call.Inputs()[0].SHA256, call.Inputs()[0].ID))
	if err == nil && !made {
		d, err = j.decode(ctx, src, call)
	}
	if err != nil {
		return tasks.ResizeResult{}, src.cause(err)
	}
	return j.finish(ctx, d, call, create)
}
