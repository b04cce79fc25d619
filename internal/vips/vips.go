// Package vips has pictures resized by libvips, in helper processes that this process starts, feeds, watches and replaces.
//
// It is for speed without risk: a fault in C ends a helper, a picture without end is killed with its helper, and in both cases the caller does
// the picture with its own engine, which costs time and no attempt. It knows processes and frames; what an order means is package order's
// business, and nothing of libvips itself is linked here.
package vips

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/millrace/millrace/internal/raster/order"
)

// Errors for which the caller does the picture itself.
var (
	ErrDied      = errors.New("the image helper died")
	ErrOff       = errors.New("the image helpers died too often and rest for a while")
	ErrCondemned = errors.New("a helper has died of this input before")
	ErrRefused   = errors.New("the image helper does not do this picture")
)

// Config says how helpers are kept. The zero values of all but Path are useful.
type Config struct {
	Path     string        // the helper's program
	Helpers  int           // at most so many at once; 0: as many as this process may use cores
	Images   int           // after so many a helper is replaced; 0: 1000
	Resident int64         // one that has more bytes than this after an image is replaced; 0: 300 MiB
	Idle     time.Duration // one without work for so long ends; 0: a minute
	Patience time.Duration // an image that takes longer than this and a second a megapixel is given up, and its helper ended; 0: 15 s
	Rest     time.Duration // for how long the engine is off after maxDeaths in a minute; 0: five minutes
	Log      *slog.Logger
}

// maxDeaths in a minute turn the engine off for a while: something is wrong with it, not with pictures.
const maxDeaths = 5

// maxCondemned bounds how many inputs are remembered; with more, all are forgotten.
const maxCondemned = 10_000

// Engine is libvips at a distance. It may be used by several goroutines.
type Engine struct {
	Config
	slots chan struct{} // one for each helper that works

	mu        sync.Mutex
	hello     *order.Hello
	idle      []*helper
	deaths    []time.Time
	off       time.Time // until when
	condemned map[string]bool
	closed    bool
}

// New makes an Engine. Helpers are started when there is work.
func New(c Config) *Engine {
	if c.Helpers == 0 {
		c.Helpers = runtime.GOMAXPROCS(0)
	}
	if c.Images == 0 {
		c.Images = 1000
	}
	if c.Resident == 0 {
		c.Resident = 300 << 20
	}
	if c.Idle == 0 {
		c.Idle = time.Minute
	}
	if c.Patience == 0 {
		c.Patience = 15 * time.Second
	}
	if c.Rest == 0 {
		c.Rest = 5 * time.Minute
	}
	return &Engine{Config: c, slots: make(chan struct{}, c.Helpers), condemned: make(map[string]bool)}
}

// Probe starts a helper, hears what it is, and ends it.
func Probe(ctx context.Context, path string) (order.Hello, error) {
	h, hello, err := start(ctx, path)
	if err != nil {
		return order.Hello{}, err
	}
	h.end()
	return hello, nil
}

// Hello says what the engine is and does. The first call starts a helper, which is kept for the first picture.
func (e *Engine) Hello(ctx context.Context) (order.Hello, error) {
	if hello, err := e.known(); hello != nil || err != nil {
		return *hello, err
	}
	if err := e.enter(ctx); err != nil {
		return order.Hello{}, err
	}
	defer e.leave()
	if hello, err := e.known(); hello != nil || err != nil { // from whoever was here before
		return *hello, err
	}
	h, err := e.take(ctx)
	if err != nil {
		return order.Hello{}, err
	}
	e.park(h)
	return h.hello, nil
}

func (e *Engine) known() (*order.Hello, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || time.Now().Before(e.off) {
		return &order.Hello{}, ErrOff
	}
	return e.hello, nil
}

// Do has an order done. input names the bytes, the same name for the same bytes wherever one is known; size of them are read from body, unless
// the order names a file. Any error but the context's own and that of body means: do it yourself.
func (e *Engine) Do(ctx context.Context, input string, o order.Order, body io.Reader, size int64) (order.Answer, error) {
	if size > order.MaxInput && o.Op == order.Render || o.Check(size) != nil {
		return order.Answer{}, fmt.Errorf("%w: %d bytes, %w", ErrRefused, size, o.Check(size))
	}
	if err := e.allowed(input); err != nil {
		return order.Answer{}, err
	}
	if o.Path != "" { // helpers live in another directory
		absolute, err := filepath.Abs(o.Path)
		if err != nil {
			return order.Answer{}, fmt.Errorf("%w: %w", ErrRefused, err)
		}
		o.Path = absolute
	}
	if err := e.enter(ctx); err != nil {
		return order.Answer{}, err
	}
	defer e.leave()
	h, err := e.take(ctx)
	if err != nil {
		return order.Answer{}, err
	}
	a, err := h.do(ctx, e.patience(o), o, body, size)
	switch {
	case err == nil:
		e.keep(h, a)
	case errors.Is(err, ErrDied):
		e.died(h, input, err)
	default: // the context's end or the body's fault; the helper is in the middle of something
		h.end()
	}
	if err == nil && a.Error != "" {
		e.Log.Debug("the image helper leaves a picture", "why", a.Error)
		return order.Answer{}, fmt.Errorf("%w: %s", ErrRefused, a.Error)
	}
	return a, err
}

// patience is how long an order may take: a helper that hangs holds a place meanwhile, so a small picture is waited for a short time.
func (e *Engine) patience(o order.Order) time.Duration {
	pixels := int64(o.Width) * int64(o.Height)
	for _, out := range o.Outputs {
		pixels += int64(out.Window.W) * int64(out.Window.H)
	}
	return e.Patience + time.Duration(pixels)*time.Microsecond
}

// enter waits for one of the places at the helpers.
func (e *Engine) enter(ctx context.Context) error {
	select {
	case e.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (e *Engine) leave() { <-e.slots }

// take finds a helper that rests, or starts one.
func (e *Engine) take(ctx context.Context) (*helper, error) {
	e.mu.Lock()
	if n := len(e.idle); n > 0 {
		h := e.idle[n-1] // the one that worked last: the others may grow old and end
		e.idle = e.idle[:n-1]
		e.mu.Unlock()
		h.alarm.Stop()
		return h, nil
	}
	closed := e.closed
	e.mu.Unlock()
	if closed {
		return nil, ErrOff
	}
	h, hello, err := start(ctx, e.Path)
	if err != nil {
		if errors.Is(err, ErrDied) {
			e.died(nil, "", err)
		}
		return nil, err
	}
	e.mu.Lock()
	e.hello = &hello
	e.mu.Unlock()
	return h, nil
}

// keep lets a helper rest, or ends one that has done enough.
func (e *Engine) keep(h *helper, a order.Answer) {
	h.images++
	if h.images >= e.Images || a.Resident > e.Resident {
		e.Log.Debug("image helper is replaced", "images", h.images, "resident", a.Resident)
		h.end()
		return
	}
	e.park(h)
}

func (e *Engine) park(h *helper) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		defer h.end()
		return
	}
	e.idle = append(e.idle, h)
	h.alarm = time.AfterFunc(e.Idle, func() {
		if e.remove(h) {
			h.end()
		}
	})
}

// remove takes a helper out of those that rest, and says whether it was there.
func (e *Engine) remove(h *helper) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range e.idle {
		if e.idle[i] == h {
			e.idle = append(e.idle[:i], e.idle[i+1:]...)
			return true
		}
	}
	return false
}

// Close ends all helpers. It waits for orders under way, whose contexts the caller ends first.
func (e *Engine) Close() {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return
	}
	e.closed = true
	resting := e.idle
	e.idle = nil
	e.mu.Unlock()
	for _, h := range resting {
		h.end()
	}
	for range e.Helpers {
		e.slots <- struct{}{}
	}
}
