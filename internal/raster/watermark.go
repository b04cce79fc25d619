package raster

import (
	"context"
	"fmt"
	"image"
	"slices"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/tasks"
)

// mark is a picture that is laid on outputs. It is itself a job: under the same limits, decoded once, and resized for each output that it is for.
type mark struct {
	*job
	input int // of the call
	users []*output
}

// planMarks reads the headers of the watermarks that the outputs ask for.
func (e *Engine) planMarks(ctx context.Context, call *tasks.Call, outputs []*output) ([]*mark, error) {
	users := make(map[string][]*output)
	var files []string
	for _, o := range outputs {
		if w := o.params.Watermark; w != nil {
			if users[w.File] == nil {
				files = append(files, w.File)
			}
			users[w.File] = append(users[w.File], o)
		}
	}
	var marks []*mark
	for _, file := range files {
		m, err := e.planMark(ctx, call, file, users[file])
		if err != nil {
			return nil, about("watermark", err)
		}
		marks = append(marks, m)
	}
	return marks, nil
}

func (e *Engine) planMark(ctx context.Context, call *tasks.Call, file string, users []*output) (*mark, error) {
	input := slices.IndexFunc(call.Inputs(), func(f millrace.File) bool { return f.ID == file })
	if input < 0 {
		return nil, millrace.BadInput(millrace.CodeInvalidInput, "the file %s is not among the job's inputs", file)
	}
	src, err := openSource(ctx, call, input)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	h, err := readHeader(src, src.length, e.limits)
	if err != nil {
		return nil, src.cause(err)
	}
	w, height := exifOrientation(h.exif).turn().size(h.width, h.height)
	p := tasks.Resize().Defaults
	p.Format, p.Fit, p.Enlarge = tasks.PNG, tasks.Fill, true
	for _, o := range users {
		v := tasks.Variant{Name: o.name, ResizeParams: p}
		v.Width, v.Height = o.markSize(w, height)
		p.Variants = append(p.Variants, v)
	}
	p.Frame, p.Pages = 0, 1
	j, err := e.newJob(h, p)
	if err != nil {
		return nil, err
	}
	return &mark{job: j, input: input, users: users}, nil
}

// markSize is how large a watermark of w × h is laid on the output: as wide as its scale says, or as it is, and never larger than the output.
func (o *output) markSize(w, h int) (int, int) {
	canvasW, canvasH := o.geometry.canvasW, o.geometry.canvasH
	markW, markH := w, h
	if scale := o.params.Watermark.Scale; scale > 0 {
		markW = proportion(canvasW, int(scale*1e6), 1e6)
		markH = proportion(h, markW, w)
	}
	if markW > canvasW || markH > canvasH {
		markW, markH = within(w, h, canvasW, canvasH)
	}
	return markW, markH
}

// kept is what the resized marks take until their outputs are made.
func (m *mark) kept() int64 {
	var n int64
	for _, o := range m.outputs {
		n += 4 * int64(o.geometry.canvasW) * int64(o.geometry.canvasH)
	}
	return n
}

// withMarks is what a job takes that takes memory bytes without its watermarks. They are decoded before its own picture is, one after the other,
// and what is left of one is collected late.
func withMarks(memory int64, marks []*mark) int64 {
	var decoding, kept int64
	for _, m := range marks {
		decoding, kept = decoding+m.memory(), kept+m.kept()
	}
	return memory + decoding + kept
}

// draw decodes the watermark and gives each output its own.
func (m *mark) draw(ctx context.Context, call *tasks.Call) error {
	src, err := openSource(ctx, call, m.input)
	if err != nil {
		return err
	}
	defer src.Close()
	d, err := m.codecs.decode(src, m.header, m.fast, m.denom)
	if err != nil {
		return src.cause(err)
	}
	for i, o := range m.outputs {
		o.progress = func(float64, string) {}
		picture, err := o.pixels(ctx, d)
		if err != nil {
			return err
		}
		m.users[i].mark = toNRGBA(picture)
	}
	return nil
}

// stamp lays the watermark on the picture, which it may change.
func (o *output) stamp(ctx context.Context, m image.Image) (image.Image, error) {
	if o.mark == nil {
		return m, nil
	}
	w := o.params.Watermark
	opacity := w.Opacity
	if opacity == 0 {
		opacity = 1
	}
	out := toNRGBA(m)
	size, top := out.Rect.Size(), o.mark.Rect.Size()
	x, y := o.markPlace(size, top)
	for row := range top.Y {
		if row%64 == 0 && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		lay(out.Pix[(y+row)*out.Stride+4*x:][:4*top.X], o.mark.Pix[row*o.mark.Stride:][:4*top.X], float32(opacity)/255)
	}
	return out, nil
}

// markPlace is where the watermark's corner lies. Its margin gives way where there is no room for it.
func (o *output) markPlace(size, mark image.Point) (x, y int) {
	w := o.params.Watermark
	gravity := w.Gravity
	if gravity == "" {
		gravity = "southeast"
	}
	spareX, spareY := size.X-mark.X, size.Y-mark.Y
	marginX, marginY := min(w.Margin, spareX/2), min(w.Margin, spareY/2)
	x, y = place(spareX-2*marginX, spareY-2*marginY, gravity)
	return x + marginX, y + marginY
}

// lay lays a row over another, weighting the upper one's alpha.
func lay(under, over []byte, weight float32) {
	for i := 0; i+3 < len(over); i += 4 {
		o, u := over[i:i+4:i+4], under[i:i+4:i+4]
		a := float32(o[3]) * weight
		if a == 0 {
			continue
		}
		below := float32(u[3]) / 255 * (1 - a)
		sum := a + below
		for c := range 3 {
			u[c] = round((float32(o[c])*a + float32(u[c])*below) / sum)
		}
		u[3] = round(255 * sum)
	}
}

// about says what an error is about, where it is not the job's own picture.
func about(what string, err error) error {
	if e, ok := err.(*millrace.Error); ok {
		named := *e
		named.Detail = what + ": " + e.Detail
		return &named
	}
	return fmt.Errorf("%s: %w", what, err)
}
