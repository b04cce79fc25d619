package raster

import (
	"context"
	"image"
	"math"

	"github.com/muesli/smartcrop"

	"github.com/millrace/millrace/tasks"
)

// Smart crops look for what catches the eye on a small copy of the upright, tilted, cropped picture. All engines take the box that is found
// here. The copy has sides of at most smartSide; one with a side below smartLeast shows nothing that could be looked for.
const (
	smartSide  = 320
	smartLeast = 16
	smartRange = 12 // of brightness, below which a picture is one flat area
)

// smart says whether gravity has to look at the picture: there is something to be cut off, and it is to be found out what.
func (o *output) smart() bool {
	w, h := o.geometry.scaled()
	keptW, keptH := o.geometry.kept()
	return o.params.Gravity == tasks.GravitySmart && (w > keptW || h > keptH)
}

// smart says whether any of the outputs has to look at the picture.
func (j *job) smart() bool {
	for _, o := range j.outputs {
		if o.smart() {
			return true
		}
	}
	return false
}

// focus moves the windows of smart crops to where the decoded picture has something to see. Outputs that look at the same part share the copy.
func (j *job) focus(ctx context.Context, d decoded) error {
	copies := make(map[geometry]*image.RGBA)
	for _, o := range j.outputs {
		if !o.smart() {
			continue
		}
		g, err := o.overview()
		if err != nil {
			return err
		}
		small, ok := copies[g]
		if !ok {
			if small, err = o.small(ctx, d, g); err != nil {
				return err
			}
			copies[g] = small
		}
		o.geometry = o.geometry.focused(small)
		if err := context.Cause(ctx); err != nil {
			return err
		}
	}
	return nil
}

// overview is the geometry of the small copy.
func (o *output) overview() (geometry, error) {
	p := o.params
	p.Width, p.Height, p.Fit, p.Enlarge, p.Kernel, p.Linear = smartSide, smartSide, tasks.Inside, false, tasks.KernelLinear, false
	return plan(o.header.width, o.header.height, o.geometry.turn, p)
}

func (o *output) small(ctx context.Context, d decoded, g geometry) (*image.RGBA, error) {
	m, err := o.scaled(ctx, d, g, false, func(float64) {})
	if err != nil {
		return nil, err
	}
	if m, err = o.colors.apply(ctx, m); err != nil {
		return nil, err
	}
	if m, err = rotate(ctx, m, g, o.background()); err != nil {
		return nil, err
	}
	n := toNRGBA(m)
	flatten(n, o.background())
	return &image.RGBA{Pix: n.Pix, Stride: n.Stride, Rect: n.Rect}, nil
}

// focused is the geometry with its window around the middle of what the small copy shows best. The window keeps its size: what is found may be
// smaller and of a slightly different shape.
func (g geometry) focused(small *image.RGBA) geometry {
	w, h := g.scaled()
	keptW, keptH := g.kept()
	if flat(small) {
		return g
	}
	found, err := smartcrop.NewAnalyzer(sameSize{}).FindBestCrop(small, keptW, keptH)
	if err != nil || found.Empty() {
		return g
	}
	window := box{
		middle(found.Min.X+found.Max.X, small.Rect.Dx(), w, keptW), middle(found.Min.Y+found.Max.Y, small.Rect.Dy(), h, keptH), keptW, keptH,
	}
	if g.tilt.on() {
		g.tilt.window = window
		return g
	}
	g.window = g.turn.back(window, g.scaledW, g.scaledH)
	return g
}

// middle is where a stretch of n out of total begins so that its middle is where sum/2 lies out of side.
func middle(sum, side, total, n int) int {
	at := float64(sum)/2*float64(total)/float64(side) - float64(n)/2
	return max(0, min(total-n, int(math.Round(at))))
}

// flat says that there is nothing to see.
func flat(m *image.RGBA) bool {
	if m.Rect.Dx() < smartLeast || m.Rect.Dy() < smartLeast {
		return true
	}
	low, high := [3]byte{255, 255, 255}, [3]byte{}
	for i := 0; i+3 < len(m.Pix); i += 4 {
		for c, v := range m.Pix[i : i+3] {
			low[c], high[c] = min(low[c], v), max(high[c], v)
		}
	}
	return max(int(high[0])-int(low[0]), int(high[1])-int(low[1]), int(high[2])-int(low[2])) < smartRange
}

// sameSize is the analyser's resizer. What it is given is small enough.
type sameSize struct{}

// Resize implements the analyser's interface.
func (sameSize) Resize(m image.Image, _, _ uint) image.Image { return m }
