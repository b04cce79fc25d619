package raster

import (
	"context"
	"fmt"
	"image"
	"io"
	"slices"

	"github.com/millrace/millrace/internal/raster/order"
	"github.com/millrace/millrace/tasks"
)

// Native is an engine in another process, faster than this one and less patient: what it does not do, or fails at, is done here. internal/vips
// is one.
type Native interface {
	// Hello says what the engine is. An error means that it cannot be used now.
	Hello(ctx context.Context) (order.Hello, error)
	// Do has an order done, within ctx. input is a name that the same bytes always have, or "".
	Do(ctx context.Context, input string, o order.Order, body io.Reader, size int64) (order.Answer, error)
}

// With is the engine, asking another one first.
func (e *Engine) With(n Native) *Engine {
	with := *e
	with.native = n
	return &with
}

// Describe says which engine this is and what it reads and writes. With another one in front its name stands first, as in results; the zero Hello
// means that there is none.
func (e *Engine) Describe(native order.Hello) tasks.Engine {
	d := tasks.Engine{Name: Name, Reads: Reads(), Writes: Writes()}
	if native.Name != "" {
		d.Name = nativeName(native)
	}
	return d
}

func nativeName(h order.Hello) string { return h.Name + "/" + h.Version + "+" + Name }

// Reads lists the formats of inputs.
func Reads() []string {
	return []string{tasks.JPEG, tasks.PNG, tasks.GIF, tasks.WebP, tasks.AVIF, tasks.TIFF}
}

// Writes lists the formats of outputs.
func Writes() []string {
	return []string{tasks.JPEG, tasks.PNG, tasks.WebP, tasks.GIF, tasks.AVIF, tasks.TIFF}
}

// What a helper takes besides the picture, and how long it may compute for one.
const (
	nativeMemory  = 45 << 20
	nativeSeconds = 60
)

// offer is a job that the native engine is asked to do.
type offer struct {
	hello order.Hello
	order order.Order
	size  int64 // of the input that follows; 0 where the order names a file
}

// offer puts a job into an order for the native engine, or answers nil where there is none that would do it as this engine does.
func (e *Engine) offer(ctx context.Context, j *job, src *source) *offer {
	if e.native == nil || !j.plain() || j.header.overfull(src.length) {
		return nil
	}
	hello, err := e.native.Hello(ctx)
	if err != nil || !slices.Contains(hello.Reads, string(j.header.format)) {
		return nil
	}
	f := &offer{hello: hello, size: src.length, order: order.Order{
		Op: order.Render, Format: string(j.header.format), Width: j.header.width, Height: j.header.height, Denom: j.nativeDenom(), Seconds: nativeSeconds,
	}}
	if f.size > order.MaxInput {
		f.size = 0
		if f.order.Path = src.path(); f.order.Path == "" {
			return nil
		}
	}
	for _, o := range j.outputs {
		f.order.Outputs = append(f.order.Outputs, o.order(hello))
	}
	// Twice what is reserved: the limit is there for pictures that lie, not for those that need a little more.
	f.order.Memory = 2 * j.nativeMemory(f.order.Denom)
	return f
}

// memory is what the offer takes if it is accepted.
func (f *offer) memory() int64 {
	if f == nil {
		return 0
	}
	return f.order.Memory / 2
}

// plain says whether the engines treat the picture alike. Left to this one is what few pictures need and the other does in its own way.
func (j *job) plain() bool {
	h := j.header
	// An AVIF may lie about its size where no header check sees it, and libtiff makes a picture of damaged strips.
	if h.format == AVIF || h.format == TIFF {
		return false
	}
	if h.frames > 1 || h.format == JPEG && h.jpeg.components == 4 || j.smart() {
		return false
	}
	for _, o := range j.outputs {
		g := o.geometry
		if g.filter.exact() || g.scaledW > g.source.w || g.scaledH > g.source.h {
			return false
		}
	}
	return true
}

// overfull says that a PNG has more bytes than its pixels can fill. libvips ignores what is too much; here it is a reason to refuse.
func (h header) overfull(size int64) bool {
	const chunks = 4 << 10 // of all the other kinds
	return h.format == PNG && size > h.pixels()*int64(max(4, h.bytesPerPixel))+int64(h.height)+int64(len(h.icc)+len(h.exif))+chunks
}

// nativeDenom is how far the decoder may shrink: as far as this engine lets its own, and not so far that a crop's edges fall between pixels.
func (j *job) nativeDenom() int {
	if j.header.format != JPEG {
		return 1
	}
	denom := j.scaleDenom(nativeRest)
	for _, o := range j.outputs {
		g := o.geometry
		for denom > 1 && !(aligned(g.source.x, g.source.w, j.header.width, g.scaledW, denom) && aligned(g.source.y, g.source.h, j.header.height, g.scaledH, denom)) {
			denom /= 2
		}
	}
	return denom
}

// maxDrift is by what part of a pixel a result's far edge may be off: the other decoder leaves out what is less than a whole shrunk pixel there.
const maxDrift = 0.3

// nativeRest is what is left to the kernel over there: its decoder halves well, and each of its averages costs a little sharpness.
func nativeRest(denom int) int {
	if denom == 4 {
		return 5
	}
	return 6
}

// aligned says whether a stretch of a side begins and ends between pixels of the shrunk side, or ends so near to it that the result does not show.
func aligned(from, length, side, scaled, denom int) bool {
	if from%denom != 0 || length%denom == 0 {
		return from%denom == 0
	}
	return from+length == side && float64(length%denom)*float64(scaled)/float64(length) <= maxDrift
}

// nativeMemory is what a helper takes for the job.
func (j *job) nativeMemory(denom int) int64 {
	h := j.header
	n := nativeMemory + 4*h.jpeg.size
	if h.format != JPEG || h.jpeg.progressive() {
		n += 4 * h.pixels()
	}
	if len(j.outputs) > 1 {
		n += 4 * h.pixels() / int64(denom*denom)
	}
	for _, o := range j.outputs {
		n += 8 * int64(o.geometry.window.w) * int64(o.geometry.window.h)
	}
	return n
}

// order puts an output into words. It is encoded over there only where nothing is left to be done here.
func (o *output) order(hello order.Hello) order.Output {
	g := o.geometry
	out := order.Output{
		Source: order.Box{X: g.source.x, Y: g.source.y, W: g.source.w, H: g.source.h}, ScaledW: g.scaledW, ScaledH: g.scaledH, Kernel: g.filter.kernel,
		Window: order.Box{X: g.window.x, Y: g.window.y, W: g.window.w, H: g.window.h}, FlipX: g.turn.flipX, FlipY: g.turn.flipY, Swap: g.turn.swap,
	}
	if exif, icc := o.metadata(); exif != nil || icc != nil || !o.bare() || !slices.Contains(hello.Writes, o.format) {
		return out
	}
	p := o.params
	out.Encoding = &order.Encoding{Format: o.format, Quality: p.Quality, Lossless: p.Lossless, Progressive: p.Progressive, FullChroma: o.jpeg() && !o.halves(), Effort: effort(o.format)}
	return out
}

// effort is what libvips calls the balance between time and size that this engine's own encoders strike.
func effort(format string) int {
	switch format {
	case tasks.WebP:
		return webpMethod
	case tasks.AVIF:
		return 9 - avifSpeed
	}
	return 0
}

// bare says that the resized pixels are the result.
func (o *output) bare() bool {
	p := o.params
	return o.colors == nil && !o.geometry.tilt.on() && !p.Grayscale && p.Blur == 0 && p.Sharpen == 0 && !o.framed() && p.MaxBytes == 0 && p.Watermark == nil &&
		len(p.Placeholders) == 0 && p.Subsampling == "auto"
}

// natively has the native engine do the offer. Where that does not come about the outputs are left as they were, and made says so.
func (e *Engine) natively(ctx context.Context, f *offer, j *job, src *source, input string) (made bool, err error) {
	if f == nil {
		return false, nil
	}
	if _, err := src.Seek(0, io.SeekStart); err != nil {
		return false, src.cause(err)
	}
	a, err := e.native.Do(ctx, input, f.order, src, f.size)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return false, cause
		}
		if src.err != nil {
			return false, src.cause(err)
		}
		return false, nil
	}
	for i, o := range j.outputs {
		o.made = &a.Pictures[i]
	}
	j.engine = nativeName(f.hello)
	return true, nil
}

// pictureOf is what came back as raw pixels.
func pictureOf(p *order.Picture) image.Image {
	rect := image.Rect(0, 0, p.Width, p.Height)
	switch p.Bands {
	case 1:
		return &image.Gray{Pix: p.Data, Stride: p.Width, Rect: rect}
	case 4:
		return &image.NRGBA{Pix: p.Data, Stride: 4 * p.Width, Rect: rect}
	}
	m := image.NewNRGBA(rect)
	for at, i := 0, 0; i < len(m.Pix); i += 4 {
		q := m.Pix[i : i+4 : i+4]
		switch p.Bands {
		case 2:
			q[0], q[1], q[2], q[3] = p.Data[at], p.Data[at], p.Data[at], p.Data[at+1]
		default:
			q[0], q[1], q[2], q[3] = p.Data[at], p.Data[at+1], p.Data[at+2], 255
		}
		at += p.Bands
	}
	return m
}

// deliver writes what the native engine has encoded.
func (o *output) deliver(create Create) (tasks.Rendered, error) {
	out, err := create(o.name, extension(o.format))
	if err != nil {
		return tasks.Rendered{}, fmt.Errorf("create the output: %w", err)
	}
	if _, err := out.Write(o.made.Data); err != nil {
		return tasks.Rendered{}, fmt.Errorf("write the %s: %w", o.format, err)
	}
	if err := out.Close(); err != nil {
		return tasks.Rendered{}, fmt.Errorf("complete the output: %w", err)
	}
	r := tasks.Rendered{Width: o.made.Width, Height: o.made.Height, Format: o.format, Bytes: o.made.Bytes, HasAlpha: o.made.HasAlpha()}
	if o.graded() {
		r.Quality = o.params.Quality
	}
	return r, nil
}
