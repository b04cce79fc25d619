package raster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"io"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/raster/order"
	"github.com/millrace/millrace/tasks"
)

// output is one picture that a job makes: its only one, or a variant.
type output struct {
	name     string // of the variant, or ""
	header   header // of the picture that came in
	params   tasks.ResizeParams
	geometry geometry
	format   string
	colors   *colors
	keepICC  bool
	mark     *image.NRGBA // the watermark in its size
	codecs   *codecs
	clip     clip           // of the frames that it takes
	screen   *screen        // of a film that has begun
	made     *order.Picture // by the native engine, and if so only to be finished here
	progress func(part float64, doing string)
}

// defaultQuality is that of an output whose job asks for none.
func defaultQuality(format string) int {
	if format == tasks.AVIF {
		return 50
	}
	return 80
}

func (e *Engine) newOutput(h header, p tasks.ResizeParams) (*output, error) {
	o := &output{header: h, params: p, format: cmp.Or(p.Format, string(h.format)), codecs: e.codecs}
	if p.Quality == 0 {
		o.params.Quality = defaultQuality(o.format)
	}
	var err error
	if o.clip, err = e.limits.planClip(h, o.format, p); err != nil {
		return nil, err
	}
	if h.format == TIFF {
		h = h.pages[o.clip.first].header
		o.header = h
	}
	orientation := Orientation(1)
	if p.AutoOrient {
		orientation = exifOrientation(h.exif)
	}
	if o.geometry, err = plan(h.width, h.height, upright(orientation, p.Rotate, p.Flip, p.Flop), p); err != nil {
		return nil, err
	}
	if err := e.limits.checkOutput(h, o.geometry); err != nil {
		return nil, err
	}
	if err := e.limits.checkFormat(o.format, o.geometry, o.clip.count); err != nil {
		return nil, err
	}
	o.planColors()
	return o, nil
}

// planColors decides whether the input's profile is kept or its colours are converted.
func (o *output) planColors() {
	h, carries := o.header, carriesICC(o.format)
	// A profile may only stand in a picture of its own kind.
	switch profileSpace(h.icc) {
	case "RGB ":
		o.keepICC = carries && !h.grey && !o.params.Grayscale
	case "GRAY":
		o.keepICC = carries && o.format != tasks.WebP && h.grey && !o.framed() && !o.geometry.tilt.on()
	}
	o.keepICC = o.keepICC && !o.params.Strip
	if !o.keepICC {
		o.colors = parseProfile(h.icc)
	}
}

// make makes the output from the decoded picture, which it leaves as it is.
func (o *output) make(ctx context.Context, d decoded, create Create) (tasks.Rendered, error) {
	if o.made != nil && o.made.Format != "" {
		return o.deliver(create)
	}
	m, err := o.pixels(ctx, d)
	if err != nil {
		return tasks.Rendered{}, err
	}
	hashes, err := placeholders(ctx, m, o.params.Placeholders)
	if err != nil {
		return tasks.Rendered{}, err
	}
	o.progress(0.78, "encoding")
	r, err := o.write(ctx, m, create)
	r.Placeholders = hashes
	return r, err
}

// pixels does all that happens to the pixels of one full frame.
func (o *output) pixels(ctx context.Context, d decoded) (image.Image, error) {
	m, err := o.resized(ctx, d)
	if err != nil {
		return nil, err
	}
	o.progress(0.67, "finishing")
	if m, err = o.colors.apply(ctx, m); err != nil {
		return nil, err
	}
	if m, err = rotate(ctx, m, o.geometry, o.background()); err != nil {
		return nil, err
	}
	if m, err = effects(ctx, m, o.params); err != nil {
		return nil, err
	}
	if m, err = o.stamp(ctx, o.mount(m)); err != nil {
		return nil, err
	}
	return m, context.Cause(ctx)
}

// resized is the picture in its new size, upright.
func (o *output) resized(ctx context.Context, d decoded) (image.Image, error) {
	if o.made != nil {
		return pictureOf(o.made), nil
	}
	return o.scaled(ctx, d, o.geometry, o.direct(), func(part float64) { o.progress(0.67*part, "resizing") })
}

// scaled resizes by any geometry of the picture.
func (o *output) scaled(ctx context.Context, d decoded, g geometry, subsample bool, done func(part float64)) (image.Image, error) {
	m, err := resample(ctx, d, g, subsample, done)
	if _, ok := errors.AsType[paletteError](err); ok {
		return nil, corrupt(o.header.format, err)
	}
	return m, err
}

// direct says that chroma may be halved while resizing, because the planes go straight into a JPEG that halves it.
func (o *output) direct() bool {
	p := o.params
	return o.halves() && o.colors == nil && p.Watermark == nil && !p.Linear && p.Blur == 0 && p.Sharpen == 0 && !o.framed() && !o.geometry.tilt.on()
}

// jpeg says that the output is certain to be a JPEG.
func (o *output) jpeg() bool { return o.format == tasks.JPEG }

// framed says that the picture is laid on a larger canvas.
func (o *output) framed() bool {
	w, h := o.geometry.kept()
	return w != o.geometry.canvasW || h != o.geometry.canvasH
}

// write encodes the picture into a new output and describes it.
func (o *output) write(ctx context.Context, m image.Image, create Create) (tasks.Rendered, error) {
	n, quality, err := o.store(ctx, create, func(w io.Writer, quality int) error { return o.encodeAt(ctx, w, m, quality) })
	if err != nil {
		return tasks.Rendered{}, err
	}
	size := m.Bounds().Size()
	r := tasks.Rendered{Width: size.X, Height: size.Y, Format: o.format, Bytes: n, HasAlpha: o.format != tasks.JPEG && !opaque(m)}
	if o.graded() {
		r.Quality = quality
	}
	return r, nil
}

// store makes the output's file of what encode writes, with the quality asked for or, where its bytes are limited, one that fits. encode is
// stopped by a writer that fails once ctx has ended.
func (o *output) store(ctx context.Context, create Create, encode func(w io.Writer, quality int) error) (n int64, quality int, err error) {
	quality = o.params.Quality
	if o.params.MaxBytes > 0 {
		var data []byte
		if data, quality, err = o.fitted(ctx, encode); err != nil {
			return 0, 0, o.encodingError(ctx, err)
		}
		encode = func(w io.Writer, _ int) error {
			_, err := w.Write(data)
			return err
		}
	}
	if err := context.Cause(ctx); err != nil {
		return 0, 0, err
	}
	out, err := create(o.name, extension(o.format))
	if err != nil {
		return 0, 0, fmt.Errorf("create the output: %w", err)
	}
	counted := &counter{w: stopping{ctx, out}}
	if err := encode(counted, quality); err != nil {
		return 0, 0, o.encodingError(ctx, err)
	}
	if err := out.Close(); err != nil {
		return 0, 0, fmt.Errorf("complete the output: %w", err)
	}
	return counted.n, quality, nil
}

// encodingError is the true reason behind an encoder's error: the context's end before all else, and what is the picture's fault as it is.
func (o *output) encodingError(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if e, ok := errors.AsType[*millrace.Error](err); ok {
		return e
	}
	if _, ok := errors.AsType[trapError](err); ok {
		refused := millrace.BadInput(millrace.CodeInvalidInput, "the %s encoder cannot write a picture of %d × %d pixels; ask for another size or format",
			o.format, o.geometry.canvasW, o.geometry.canvasH)
		refused.Err = err
		return refused
	}
	return fmt.Errorf("encode the %s: %w", o.format, err)
}

// stopping fails once its context has ended: encoders take none.
type stopping struct {
	ctx context.Context
	w   io.Writer
}

// Write implements io.Writer.
func (s stopping) Write(p []byte) (int, error) {
	if err := context.Cause(s.ctx); err != nil {
		return 0, err
	}
	return s.w.Write(p)
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
