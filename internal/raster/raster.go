// Package raster resizes pictures in pure Go: it sniffs, checks limits, decodes, orients, crops, resizes, converts colours and encodes.
//
// It is for pictures from strangers: headers are believed only so far as memory has been reserved for them, every decoder is called by name
// after our own look at the bytes and may panic without harm, and a result is always encoded anew, so that nothing of the input but its pixels
// (and metadata that was asked for) gets through. It is not a drawing library, and it reads and writes no files: bytes come and go through a
// tasks.Call. The geometry (geometry.go) is computed apart from the pixels, so that another engine can share it.
package raster

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"

	"github.com/millrace/millrace/tasks"
)

// Name is the engine and its version, as results state it. The version is raised when equal params give other pixels.
const Name = "raster/1"

// defaultQuality is that of a JPEG whose job asks for none.
const defaultQuality = 80

// Engine resizes pictures. It may be used by several goroutines; a picture is worked on by the one that calls.
type Engine struct {
	limits Limits
}

// New makes an Engine with DefaultLimits.
func New() *Engine { return NewLimited(DefaultLimits()) }

// NewLimited makes an Engine with limits of its own.
func NewLimited(limits Limits) *Engine { return &Engine{limits: limits} }

// Resize changes the call's first input as p asks. The output is made by create, which is told the extension that fits, such as "jpg".
func (e *Engine) Resize(ctx context.Context, call *tasks.Call, p tasks.ResizeParams, create func(extension string) (io.WriteCloser, error)) (tasks.ResizeResult, error) {
	in, err := call.Open(ctx, 0)
	if err != nil {
		return tasks.ResizeResult{}, fmt.Errorf("open the picture: %w", err)
	}
	defer in.Close()
	src := &source{ctx: ctx, in: in, length: call.Inputs()[0].Size}
	call.Progress(0, 100, "percent", "reading")
	h, err := readHeader(src, src.length, e.limits)
	if err != nil {
		return tasks.ResizeResult{}, src.cause(err)
	}
	j, err := e.newJob(h, p)
	if err != nil {
		return tasks.ResizeResult{}, err
	}
	release, err := call.Reserve(ctx, j.memory())
	if err != nil {
		return tasks.ResizeResult{}, fmt.Errorf("reserve memory for %d × %d pixels: %w", h.width, h.height, err)
	}
	defer release()
	m, err := j.render(ctx, src, call)
	if err != nil {
		return tasks.ResizeResult{}, src.cause(err)
	}
	return j.finish(ctx, m, call, create)
}

// job is one picture on its way.
type job struct {
	header   header
	params   tasks.ResizeParams
	geometry geometry
	format   string // of the output; "" until it is known whether a WebP has transparency
	colors   *colors
	keepICC  bool
	denom    int
	fast     bool // JPEG by the scaling decoder
}

// newJob decides everything that the header allows to decide, so that what it costs is known before it is spent.
func (e *Engine) newJob(h header, p tasks.ResizeParams) (*job, error) {
	if p.Quality == 0 {
		p.Quality = defaultQuality
	}
	j := &job{header: h, params: p, format: p.Format, denom: 1}
	if j.format == "" && h.format != WebP {
		j.format = string(h.format)
	}
	if j.format == tasks.GIF && h.format == GIF {
		if err := e.limits.checkAnimation(h); err != nil {
			return nil, err
		}
	}
	orientation := Orientation(1)
	if p.AutoOrient {
		orientation = exifOrientation(h.exif)
	}
	var err error
	if j.geometry, err = plan(h.width, h.height, upright(orientation, int(p.Rotate), p.Flip, p.Flop), p); err != nil {
		return nil, err
	}
	if err := e.limits.checkOutput(h, j.geometry); err != nil {
		return nil, err
	}
	j.planColors()
	if h.format == JPEG {
		j.fast = fastJPEG(h)
		if j.fast {
			j.denom = j.scaleDenom()
		}
	}
	return j, nil
}

// planColors decides whether the input's profile is kept or its colours are converted.
func (j *job) planColors() {
	h, carries := j.header, j.format == tasks.JPEG || j.format == tasks.PNG
	// A profile may only stand in a picture of its own kind.
	switch profileSpace(h.icc) {
	case "RGB ":
		j.keepICC = carries && !h.grey && !j.params.Grayscale
	case "GRAY":
		j.keepICC = carries && h.grey && !j.framed()
	}
	j.keepICC = j.keepICC && !j.params.Strip
	if !j.keepICC {
		j.colors = parseProfile(h.icc)
	}
}

// render decodes and does all that happens to pixels.
func (j *job) render(ctx context.Context, src *source, call *tasks.Call) (image.Image, error) {
	src.progress = func(part float64) { call.Progress(2+int64(53*part), 100, "percent", "decoding") }
	d, err := decode(src, j.header, j.fast, j.denom)
	if err != nil {
		return nil, err
	}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	resizing := func(part float64) { call.Progress(55+int64(30*part), 100, "percent", "resizing") }
	m, err := resample(ctx, d, j.geometry, j.direct(), resizing)
	if err != nil {
		if _, ok := errors.AsType[paletteError](err); ok {
			return nil, corrupt(j.header.format, err)
		}
		return nil, err
	}
	call.Progress(85, 100, "percent", "finishing")
	if m, err = j.colors.apply(ctx, m); err != nil {
		return nil, err
	}
	if m, err = effects(ctx, m, j.params); err != nil {
		return nil, err
	}
	return j.mount(m), nil
}

// direct says that chroma may be halved while resizing, because the planes go straight into a JPEG that halves it.
func (j *job) direct() bool {
	p := j.params
	return j.jpeg() && p.Quality < fullChroma && j.colors == nil && p.Blur == 0 && p.Sharpen == 0 && !j.framed()
}

// jpeg says that the output is certain to be a JPEG.
func (j *job) jpeg() bool { return j.format == tasks.JPEG }

// framed says that the picture is laid on a larger canvas.
func (j *job) framed() bool {
	w, h := j.geometry.turn.size(j.geometry.window.w, j.geometry.window.h)
	return w != j.geometry.canvasW || h != j.geometry.canvasH
}

// finish settles the format, encodes and describes the result.
func (j *job) finish(ctx context.Context, m image.Image, call *tasks.Call, create func(string) (io.WriteCloser, error)) (tasks.ResizeResult, error) {
	if j.format == "" {
		j.format = tasks.JPEG
		if !opaque(m) {
			j.format = tasks.PNG
		}
	}
	call.Progress(90, 100, "percent", "encoding")
	if err := context.Cause(ctx); err != nil {
		return tasks.ResizeResult{}, err
	}
	out, err := create(extension(j.format))
	if err != nil {
		return tasks.ResizeResult{}, fmt.Errorf("create the output: %w", err)
	}
	counted := &counter{w: out}
	if err := j.encode(counted, m); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return tasks.ResizeResult{}, cause
		}
		return tasks.ResizeResult{}, fmt.Errorf("encode the %s: %w", j.format, err)
	}
	if err := out.Close(); err != nil {
		return tasks.ResizeResult{}, fmt.Errorf("complete the output: %w", err)
	}
	call.Progress(100, 100, "percent", "done")
	return j.result(m, counted.n), nil
}

func (j *job) result(m image.Image, bytes int64) tasks.ResizeResult {
	h := j.header
	r := tasks.ResizeResult{
		Rendered: &tasks.Rendered{Width: m.Bounds().Dx(), Height: m.Bounds().Dy(), Format: j.format, Bytes: bytes, HasAlpha: j.format != tasks.JPEG && !opaque(m)},
		Engine:   Name,
		Source:   tasks.Source{Width: h.width, Height: h.height, Format: string(h.format)},
	}
	if j.format == tasks.JPEG {
		r.Quality = j.params.Quality
	}
	if j.params.AutoOrient {
		r.Source.Width, r.Source.Height = exifOrientation(h.exif).turn().size(h.width, h.height)
	}
	if h.frames > 1 {
		r.Source.Frames = h.frames
	}
	return r
}

// counter counts what is written.
type counter struct {
	w io.Writer
	n int64
}

// Write implements io.Writer.
func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

func extension(format string) string {
	if format == tasks.JPEG {
		return "jpg"
	}
	return format
}
