package vips

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"time"

	"github.com/millrace/millrace/internal/raster/order"
)

// helloWithin is how long a new helper may take to say what it is.
const helloWithin = 20 * time.Second

// helper is one process. It is used by one goroutine at a time.
type helper struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr *tail
	hello  order.Hello
	images int
	alarm  *time.Timer // rings when it has rested too long
	ended  sync.Once
}

// start starts a helper and hears its hello.
func start(ctx context.Context, path string) (*helper, order.Hello, error) {
	h := &helper{cmd: exec.Command(path), stderr: new(tail)}
	// Nothing of this process's environment: it may hold secrets. Two arenas keep glibc from scattering big buffers.
	h.cmd.Env = []string{"MALLOC_ARENA_MAX=2"}
	h.cmd.Dir = "/"
	h.cmd.Stderr = h.stderr
	tieToParent(h.cmd)
	var err error
	if h.in, err = h.cmd.StdinPipe(); err != nil {
		return nil, order.Hello{}, fmt.Errorf("pipe to the image helper: %w", err)
	}
	out, err := h.cmd.StdoutPipe()
	if err != nil {
		return nil, order.Hello{}, fmt.Errorf("pipe from the image helper: %w", err)
	}
	h.out = bufio.NewReaderSize(out, 64<<10)
	if err := h.cmd.Start(); err != nil {
		return nil, order.Hello{}, fmt.Errorf("%w: it cannot be started: %w", ErrDied, err)
	}
	err = h.within(ctx, helloWithin, func() error {
		_, err := order.Read(h.out, &h.hello, 0)
		if err == nil && h.hello.Error != "" {
			err = errors.New(h.hello.Error)
		}
		if err == nil && h.hello.Protocol != order.Protocol {
			err = fmt.Errorf("it speaks protocol %d, this program %d; build both from the same sources", h.hello.Protocol, order.Protocol)
		}
		return err
	})
	if err != nil {
		if said := h.end(); said != "" {
			err = fmt.Errorf("%w: %s", err, said)
		}
		return nil, order.Hello{}, err
	}
	return h, h.hello, nil
}

// do has an order done. The helper must be ended after an error.
func (h *helper) do(ctx context.Context, patience time.Duration, o order.Order, body io.Reader, size int64) (a order.Answer, err error) {
	var source error
	err = h.within(ctx, patience, func() error {
		if err := order.Write(h.in, o, size); err != nil {
			return err
		}
		if size > 0 {
			from := &reader{r: body}
			if n, err := io.CopyN(h.in, from, size); err != nil {
				source = from.failed(n, size)
				return err
			}
		}
		var err error
		if a, err = order.ReadAnswer(h.out, o.Most(size)); err != nil {
			return err
		}
		return o.Answered(a)
	})
	if source != nil && context.Cause(ctx) == nil {
		return order.Answer{}, source
	}
	return a, err
}

// within does what it is given and answers ErrDied where that fails. When the context ends, or the time is over, the helper is killed, which ends
// every read from it and write to it.
func (h *helper) within(ctx context.Context, limit time.Duration, f func() error) error {
	timed, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	killed := make(chan struct{})
	stop := context.AfterFunc(timed, func() {
		defer close(killed)
		_ = h.cmd.Process.Kill()
	})
	err := f()
	if !stop() {
		<-killed
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return fmt.Errorf("%w: no answer within %v", ErrDied, limit.Round(time.Millisecond))
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDied, err)
	}
	return nil
}

// end ends the process, waits for it, and returns the last that it said on standard error. It has nothing to lose.
func (h *helper) end() string {
	h.ended.Do(func() {
		if h.alarm != nil {
			h.alarm.Stop()
		}
		_ = h.in.Close()
		_ = h.cmd.Process.Kill()
		_ = h.cmd.Wait()
	})
	return h.stderr.String()
}

// reader tells its own errors from those of whom it is copied to.
type reader struct {
	r   io.Reader
	err error
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err != nil {
		r.err = err
	}
	return n, err
}

func (r *reader) failed(n, size int64) error {
	switch {
	case r.err == nil || errors.Is(r.err, io.EOF) && n == size:
		return nil
	case errors.Is(r.err, io.EOF):
		return fmt.Errorf("the input ended after %d of %d bytes: %w", n, size, io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("read the input: %w", r.err)
}

// tail keeps the last that was written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailSize = 1 << 10

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	t.b = t.b[max(0, len(t.b)-tailSize):]
	return len(p), nil
}

// String is the last that was written.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b)
}
