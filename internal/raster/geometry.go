package raster

import (
	"math"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/tasks"
)

// This file is arithmetic only: every engine takes its sizes and boxes from plan, so that all engines cut and size alike.

// box is a rectangle of pixels.
type box struct{ x, y, w, h int }

// geometry says how a stored picture becomes the output: the part called source is resized to scaled, of which window is kept; that is turned,
// then tilted if it is to be, and where canvas is larger than the result it is laid on it at its offset. All but tilt, canvas, offsetX and
// offsetY are in stored orientation.
type geometry struct {
	source           box // of the stored picture
	scaledW, scaledH int
	window           box // of the scaled picture
	turn             turn
	tilt             tilt
	canvasW, canvasH int // the output
	offsetX, offsetY int // of what is kept on it
	filter           filter
	sigma            float64 // of a Gaussian in place of the filter, in pixels; 0: none
}

// filter is how samples are weighted. The zero value is the default.
type filter struct {
	kernel string // of tasks.ResizeParams
	linear bool   // in linear light
}

// exact says that the filter must see the picture's own pixels, not averages of them that a decoder made.
func (f filter) exact() bool { return f.linear || f.kernel == tasks.KernelNearest }

// kept is the size of what is laid on the canvas.
func (g geometry) kept() (w, h int) {
	if g.tilt.on() {
		return g.tilt.window.w, g.tilt.window.h
	}
	return g.turn.size(g.window.w, g.window.h)
}

// scaled is the size of the upright picture of which that is a part.
func (g geometry) scaled() (w, h int) {
	if g.tilt.on() {
		return g.tilt.scaledW, g.tilt.scaledH
	}
	return g.turn.size(g.scaledW, g.scaledH)
}

// plan computes the geometry for a stored picture of w × h that is to be turned by t and then changed as p asks.
func plan(w, h int, t turn, p tasks.ResizeParams) (geometry, error) {
	tw, th := t.size(w, h)
	slope := newTilt(tw, th, p)
	if slope.on() {
		tw, th = slope.canvasW, slope.canvasH
	}
	cut := box{0, 0, tw, th}
	if p.Crop != nil {
		cut = box{p.Crop.X, p.Crop.Y, p.Crop.Width, p.Crop.Height}
		if cut.x+cut.w > tw || cut.y+cut.h > th {
			return geometry{}, millrace.BadInput(millrace.CodeInvalidInput,
				"the crop of %d × %d pixels at %d, %d reaches beyond the picture, which is %d × %d", cut.w, cut.h, cut.x, cut.y, tw, th)
		}
	}
	f := fit(cut.w, cut.h, p)
	g := geometry{turn: t, canvasW: f.canvasW, canvasH: f.canvasH, offsetX: f.offsetX, offsetY: f.offsetY, filter: filter{p.Kernel, p.Linear}}
	if slope.on() {
		slope.cut, slope.scaledW, slope.scaledH, slope.window = cut, f.scaledW, f.scaledH, f.window
		g.tilt = slope
		f.scaledW, f.scaledH = slope.middle()
		f.window = box{0, 0, f.scaledW, f.scaledH}
		cut = slope.need()
	}
	g.source = t.back(cut, w, h)
	g.scaledW, g.scaledH = t.size(f.scaledW, f.scaledH)
	g.window = t.back(f.window, g.scaledW, g.scaledH)
	return g, nil
}

// fitted is the geometry of an upright picture.
type fitted struct {
	scaledW, scaledH int
	window           box
	canvasW, canvasH int
	offsetX, offsetY int
}

func fit(w, h int, p tasks.ResizeParams) fitted {
	bw, bh, method := p.Width, p.Height, p.Fit
	if bw == 0 || bh == 0 {
		bw, bh = follow(w, h, bw, bh)
		method = tasks.Fill
	}
	switch method {
	case tasks.Cover:
		return cover(w, h, bw, bh, p)
	case tasks.Contain:
		sw, sh := within(w, h, bw, bh)
		if !p.Enlarge {
			sw, sh = notLarger(w, h, sw, sh)
		}
		x, y := place(bw-sw, bh-sh, p.Gravity)
		return fitted{scaledW: sw, scaledH: sh, window: box{0, 0, sw, sh}, canvasW: bw, canvasH: bh, offsetX: x, offsetY: y}
	case tasks.Fill:
		// With both sides given they are asked for one by one, so each is bounded on its own.
		if !p.Enlarge && p.Width > 0 && p.Height > 0 {
			return whole(min(bw, w), min(bh, h))
		}
	case tasks.Outside:
		bw, bh = around(w, h, bw, bh)
	default:
		bw, bh = within(w, h, bw, bh)
	}
	if !p.Enlarge {
		bw, bh = notLarger(w, h, bw, bh)
	}
	return whole(bw, bh)
}

func whole(w, h int) fitted {
	return fitted{scaledW: w, scaledH: h, window: box{0, 0, w, h}, canvasW: w, canvasH: h}
}

// cover scales the picture around the box and keeps the box's part of it. Where nothing may be enlarged and the picture does not cover the
// box, the box shrinks and keeps its shape.
func cover(w, h, bw, bh int, p tasks.ResizeParams) fitted {
	if !p.Enlarge && (bw > w || bh > h) {
		bw, bh = within(bw, bh, w, h)
	}
	sw, sh := around(w, h, bw, bh)
	x, y := place(sw-bw, sh-bh, p.Gravity)
	return fitted{scaledW: sw, scaledH: sh, window: box{x, y, bw, bh}, canvasW: bw, canvasH: bh}
}

// follow fills in a side that was not given.
func follow(w, h, bw, bh int) (int, int) {
	switch {
	case bw == 0 && bh == 0:
		return w, h
	case bw == 0:
		return proportion(w, bh, h), bh
	}
	return bw, proportion(h, bw, w)
}

// within is the largest size of w × h's shape inside bw × bh.
func within(w, h, bw, bh int) (int, int) {
	if int64(bw)*int64(h) <= int64(bh)*int64(w) {
		return bw, min(bh, proportion(h, bw, w))
	}
	return min(bw, proportion(w, bh, h)), bh
}

// around is the smallest size of w × h's shape that covers bw × bh.
func around(w, h, bw, bh int) (int, int) {
	if int64(bw)*int64(h) >= int64(bh)*int64(w) {
		return bw, max(bh, proportion(h, bw, w))
	}
	return max(bw, proportion(w, bh, h)), bh
}

func notLarger(w, h, sw, sh int) (int, int) {
	if sw > w || sh > h {
		return w, h
	}
	return sw, sh
}

// proportion is side × to/from, rounded, and never 0.
func proportion(side, to, from int) int {
	return max(1, int(math.Round(float64(side)*float64(to)/float64(from))))
}

// place divides spare columns and rows by gravity: nothing on the side it names, half on both sides where it names none.
func place(spareX, spareY int, gravity string) (x, y int) {
	x, y = spareX/2, spareY/2
	switch gravity {
	case "west", "northwest", "southwest":
		x = 0
	case "east", "northeast", "southeast":
		x = spareX
	}
	switch gravity {
	case "north", "northwest", "northeast":
		y = 0
	case "south", "southwest", "southeast":
		y = spareY
	}
	return x, y
}
