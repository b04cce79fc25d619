package order

import (
	"fmt"
	"slices"
)

// maxSide is the longest side of a picture in an order.
const maxSide = 1 << 17

// maxOutputs is how many pictures may be asked of one input.
const maxOutputs = 64

// maxFrames is how many frames an animation that is to be encoded may have.
const maxFrames = 10_000

// Check refuses an order that makes no sense, so that an engine in C meets only boxes that lie in their pictures. body is how many bytes follow.
func (o Order) Check(body int64) error {
	if o.Width <= 0 || o.Height <= 0 || o.Width > maxSide || o.Height > maxSide {
		return fmt.Errorf("a picture of %d × %d pixels", o.Width, o.Height)
	}
	switch o.Op {
	case Render:
		return o.checkRender(body)
	case Encode:
		return o.checkEncode(body)
	}
	return fmt.Errorf("no operation is called %q", o.Op)
}

func (o Order) checkRender(body int64) error {
	if (o.Path == "") == (body == 0) {
		return fmt.Errorf("%d bytes and the path %q: one of them must be there", body, o.Path)
	}
	if !slices.Contains([]int{0, 1, 2, 4, 8}, o.Denom) || o.Page < 0 || len(o.Outputs) == 0 || len(o.Outputs) > maxOutputs {
		return fmt.Errorf("page %d at 1/%d in %d outputs", o.Page, o.Denom, len(o.Outputs))
	}
	for _, out := range o.Outputs {
		if !out.Source.in(o.Width, o.Height) || out.ScaledW <= 0 || out.ScaledH <= 0 || out.ScaledW > maxSide || out.ScaledH > maxSide ||
			!out.Window.in(out.ScaledW, out.ScaledH) {
			return fmt.Errorf("boxes that do not fit: %+v of %d × %d", out, o.Width, o.Height)
		}
		if err := out.Encoding.check(); err != nil {
			return err
		}
	}
	return nil
}

func (o Order) checkEncode(body int64) error {
	if o.Bands < 1 || o.Bands > 4 || o.Frames < 1 || o.Frames > maxFrames || o.Loop < 0 || o.Encoding == nil || o.Frames > 1 && len(o.Delays) != o.Frames {
		return fmt.Errorf("%d frames of %d bands with %d delays", o.Frames, o.Bands, len(o.Delays))
	}
	if want := int64(o.Width) * int64(o.Height) * int64(o.Bands) * int64(o.Frames); body != want {
		return fmt.Errorf("%d bytes of pixels, not %d", body, want)
	}
	return o.Encoding.check()
}

func (b Box) in(w, h int) bool {
	return b.X >= 0 && b.Y >= 0 && b.W > 0 && b.H > 0 && b.W <= w && b.H <= h && b.X <= w-b.W && b.Y <= h-b.H
}

func (e *Encoding) check() error {
	if e == nil {
		return nil
	}
	if e.Quality < 0 || e.Quality > 100 || e.Effort < 0 || e.Effort > 9 {
		return fmt.Errorf("quality %d and effort %d", e.Quality, e.Effort)
	}
	return nil
}

// Most is how many bytes the pictures of an order may have together. body is how many bytes its input has.
func (o Order) Most(body int64) int64 {
	const slack = 1 << 20 // for headers and for noise that no encoder can shrink
	if o.Op == Encode {
		return min(MaxOutput, 2*body+slack)
	}
	var n int64
	for _, out := range o.Outputs {
		n += 8*int64(out.Window.W)*int64(out.Window.H) + slack
	}
	return min(MaxOutput, n)
}

// Answered checks that an answer has the pictures that the order asks for.
func (o Order) Answered(a Answer) error {
	if a.Error != "" {
		return nil
	}
	if o.Op == Encode {
		if len(a.Pictures) != 1 || a.Pictures[0].Format != o.Encoding.Format || a.Pictures[0].Width != o.Width || a.Pictures[0].Height != o.Height {
			return fmt.Errorf("another picture than the one that was sent: %w", errFrame)
		}
		return nil
	}
	if len(a.Pictures) != len(o.Outputs) {
		return fmt.Errorf("%d pictures, not %d: %w", len(a.Pictures), len(o.Outputs), errFrame)
	}
	for i, out := range o.Outputs {
		w, h := out.Window.W, out.Window.H
		if out.Swap {
			w, h = h, w
		}
		p := a.Pictures[i]
		if p.Width != w || p.Height != h {
			return fmt.Errorf("a picture of %d × %d pixels, not %d × %d: %w", p.Width, p.Height, w, h, errFrame)
		}
		if p.Format != "" && (out.Encoding == nil || p.Format != out.Encoding.Format) {
			return fmt.Errorf("a picture in %q: %w", p.Format, errFrame)
		}
	}
	return nil
}
