package raster

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/millrace/millrace/tasks"
)

const (
	// largePixels is from where on a step that cannot be stopped on its way, such as a whole JPEG by the scaling decoder, takes longer than a
	// cancelled job should.
	largePixels = 16e6
	// letGoAfter is how long a step of a large picture may go on after the end of its context, before nobody waits for it any more.
	letGoAfter = 100 * time.Millisecond
)

// large says that the picture, or one that is made of it, may hold up the end of its job.
func (j *job) large() bool {
	most := j.header.pixels()
	for _, o := range j.outputs {
		most = max(most, int64(o.geometry.canvasW)*int64(o.geometry.canvasH))
	}
	return most > largePixels
}

// letGo does the work on a goroutine of its own and waits for it, but not for long once ctx has ended: then the answer is ctx's cause, and the work
// goes on to the end of its present step, where it sees the same. It keeps the memory that it has reserved and its input until then, and gives
// both back itself; whoever counts the memory sees whether that comes true.
func letGo(ctx context.Context, work func() (tasks.ResizeResult, error)) (tasks.ResizeResult, error) {
	type ended struct {
		result tasks.ResizeResult
		err    error
	}
	done := make(chan ended, 1)
	go func() {
		var e ended
		defer func() {
			if p := recover(); p != nil {
				e = ended{err: fmt.Errorf("panicked: %v\n%s", p, debug.Stack())}
			}
			done <- e
		}()
		e.result, e.err = work()
	}()
	select {
	case e := <-done:
		return e.result, e.err
	case <-ctx.Done():
	}
	patience := time.NewTimer(letGoAfter)
	defer patience.Stop()
	select {
	case e := <-done:
		return e.result, e.err
	case <-patience.C:
		return tasks.ResizeResult{}, context.Cause(ctx)
	}
}
