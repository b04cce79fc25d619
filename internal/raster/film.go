package raster

import (
	"context"
	"fmt"
	"image"
	"io"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/tasks"
)

// clip is which frames an output is made of, counted from 0.
type clip struct{ first, count int }

// moves says that there is more than one.
func (s clip) moves() bool { return s.count > 1 }

// end is the number of frames that have to be decoded for it.
func (s clip) end() int { return s.first + s.count }

// canMove says whether a format holds films here.
func canMove(format string) bool { return format == tasks.GIF || format == tasks.WebP }

// planClip chooses the frames that p asks for.
func (l Limits) planClip(h header, format string, p tasks.ResizeParams) (clip, error) {
	frames := max(1, h.frames)
	if p.Frame >= frames {
		return clip{}, millrace.BadInput(millrace.CodeInvalidInput, "there is no frame %d, counted from 0: the picture has %d", p.Frame, frames)
	}
	if h.format == PNG && p.Frame > 0 {
		return clip{}, millrace.BadInput(millrace.CodeInvalidInput, "only the first frame of an animated PNG is read; leave frame out")
	}
	s := clip{p.Frame, 1}
	if h.format == GIF || h.format == WebP {
		switch left := frames - p.Frame; {
		case p.Pages > 0:
			s.count = min(p.Pages, left)
		case canMove(format):
			s.count = left
		}
	}
	if s.moves() && !canMove(format) {
		return clip{}, millrace.BadInput(millrace.CodeInvalidInput, "a %s holds one picture, not %d; ask for gif or webp, or leave pages out",
			Format(format).label(), s.count)
	}
	if s.moves() && p.MaxBytes > 0 {
		return clip{}, millrace.BadInput(millrace.CodeInvalidInput, "max_bytes is for still pictures; ask for pages 1, or leave max_bytes out")
	}
	if s.end() > 1 && h.format != TIFF {
		return s, l.checkAnimation(h, s.end())
	}
	return s, nil
}

// film says whether frames have to be composed, or pages found, for any of the outputs.
func (j *job) film() bool { return j.frames() > 1 }

// frames is how many frames have to be decoded.
func (j *job) frames() int {
	n := 1
	for _, o := range j.outputs {
		n = max(n, o.clip.end())
	}
	return n
}

// play composes one frame after the other and gives each to the outputs that it belongs to, so that neither the film nor what it becomes is ever
// in memory as a whole.
func (j *job) play(ctx context.Context, src *source, call *tasks.Call, create Create) (tasks.ResizeResult, error) {
	next, err := j.frameReader(src)
	if err != nil {
		return tasks.ResizeResult{}, err
	}
	rendered := make([]tasks.Rendered, len(j.outputs))
	for n := range j.frames() {
		if err := context.Cause(ctx); err != nil {
			return tasks.ResizeResult{}, err
		}
		d, delay, err := next(n)
		if err != nil {
			return tasks.ResizeResult{}, err
		}
		if n == j.firstFrame() {
			if err := j.focus(ctx, d); err != nil {
				return tasks.ResizeResult{}, err
			}
		}
		for i, o := range j.outputs {
			if n < o.clip.first || n >= o.clip.end() {
				continue
			}
			o.progress = j.filmProgress(call, n, i)
			if err := o.take(ctx, n, d, delay, &rendered[i], create); err != nil {
				return tasks.ResizeResult{}, inVariant(o.name, err)
			}
		}
	}
	return j.describe(rendered, call), nil
}

// filmProgress is the progress of an output's work on a frame.
func (j *job) filmProgress(call *tasks.Call, n, i int) func(float64, string) {
	frames, outputs := j.frames(), len(j.outputs)
	doing := fmt.Sprintf("frame %d of %d", n+1, frames)
	return func(part float64, _ string) {
		done := (float64(n) + (float64(i)+part)/float64(outputs)) / float64(frames)
		call.Progress(readPercent+int64((99-readPercent)*done), 100, "percent", doing)
	}
}

// frameReader decodes frame after frame, or the page of a TIFF that is asked for.
func (j *job) frameReader(src *source) (func(n int) (decoded, time.Duration, error), error) {
	if j.header.format == TIFF {
		return func(n int) (decoded, time.Duration, error) {
			if !j.wants(n) {
				return decoded{}, 0, nil
			}
			d, err := j.codecs.decodePage(src, j.header.pages[n])
			return d, 0, err
		}, nil
	}
	r, err := newReel(src, j.header)
	if err != nil {
		return nil, corrupt(j.header.format, err)
	}
	return func(int) (decoded, time.Duration, error) {
		m, delay, err := nextOf(r, j.header.format)
		return decoded{image: m, denom: 1}, delay, err
	}, nil
}

// firstFrame is the first that any output has.
func (j *job) firstFrame() int {
	first := j.outputs[0].clip.first
	for _, o := range j.outputs {
		first = min(first, o.clip.first)
	}
	return first
}

// wants says whether any output has a frame.
func (j *job) wants(n int) bool {
	for _, o := range j.outputs {
		if n >= o.clip.first && n < o.clip.end() {
			return true
		}
	}
	return false
}

// filmMemory is what composing a film takes: the canvas, what is under a frame, and the frame as its decoder makes it and as it is drawn.
func filmMemory(h header) int64 { return 16*h.pixels() + h.length/4 }

// pageMemory is what the largest of the pages takes that are decoded.
func (j *job) pageMemory() int64 {
	var n int64
	for _, o := range j.outputs {
		n = max(n, o.header.pixels()*int64(o.header.bytesPerPixel))
	}
	return n
}

// gifFilmPixel is what writing a GIF takes for a pixel: the frame on the screen, the one held back, what is cut out of it, and its palette picture.
const gifFilmPixel = 16

// webpFilmMemory is what an animated WebP takes besides its encoder: a frame, what is cut out of it, and all that has been encoded.
func (o *output) webpFilmMemory(canvas int64) int64 {
	encoded := canvas * int64(o.clip.count)
	if !o.params.Lossless {
		encoded /= 4
	}
	return 12*canvas + encoded
}

// transparent says that the output may have transparency.
func (o *output) transparent() bool {
	return o.header.facts.alpha || (o.framed() || o.geometry.tilt.on()) && o.background().A < 255
}

// filmWriter writes a film frame by frame. It owns the frames that it is given.
type filmWriter interface {
	add(ctx context.Context, m *image.NRGBA, delay time.Duration) error
	close() error
}

// screen is an output's film while it is written.
type screen struct {
	out     io.WriteCloser
	counted *counter
	film    filmWriter
	alpha   bool
	size    image.Point
	hashes  tasks.Placeholders
}

// take makes the output's picture, or the next frame of its film, of a frame. After the last one it describes the whole.
func (o *output) take(ctx context.Context, n int, d decoded, delay time.Duration, r *tasks.Rendered, create Create) error {
	if !o.clip.moves() {
		made, err := o.make(ctx, d, create)
		*r = made
		return err
	}
	m, err := o.pixels(ctx, d)
	if err != nil {
		return err
	}
	frame := toNRGBA(m)
	if n == o.clip.first {
		if err := o.openScreen(ctx, create); err != nil {
			return err
		}
	}
	s := o.screen
	if n == o.clip.first {
		if s.hashes, err = placeholders(ctx, m, o.params.Placeholders); err != nil {
			return err
		}
	}
	s.alpha, s.size = s.alpha || !frame.Opaque(), frame.Rect.Size()
	o.progress(0.78, "encoding")
	if err = s.film.add(ctx, frame, delay); err == nil && n == o.clip.end()-1 {
		err = s.film.close()
	}
	if err != nil {
		return o.encodingError(ctx, err)
	}
	if n < o.clip.end()-1 {
		return nil
	}
	if err := s.out.Close(); err != nil {
		return fmt.Errorf("complete the output: %w", err)
	}
	*r = tasks.Rendered{Width: s.size.X, Height: s.size.Y, Format: o.format, Bytes: s.counted.n, HasAlpha: s.alpha, Pages: o.clip.count, Placeholders: s.hashes}
	if o.graded() {
		r.Quality = o.params.Quality
	}
	return nil
}

// openScreen begins the output's film.
func (o *output) openScreen(ctx context.Context, create Create) error {
	out, err := create(o.name, extension(o.format))
	if err != nil {
		return fmt.Errorf("create the output: %w", err)
	}
	s := &screen{out: out, counted: &counter{w: stopping{ctx, out}}}
	o.screen = s
	if o.format == tasks.GIF {
		s.film = newGIFWriter(s.counted, o.header.plays)
		return nil
	}
	exif, icc := o.metadata()
	s.film = &webpWriter{w: s.counted, plays: o.header.plays, exif: exif, icc: icc, still: func(ctx context.Context, w io.Writer, m *image.NRGBA) error {
		return o.codecs.encodeWebP(ctx, w, m, o.params.Quality, o.params.Lossless)
	}}
	return nil
}
