package raster

import (
	"math"

	"github.com/millrace/millrace/tasks"
)

// tilt is a turn by another angle than a right one, in the middle between two resizes: what it needs of the upright picture has been resized
// to about the size of the output, and where the output's sides are not in proportion they are made so afterwards. The zero value is none.
//
// The tilted picture has round(w·|cos| + h·|sin|) × round(w·|sin| + h·|cos|) pixels, its middle is that of the upright one, and what the
// upright one does not cover is background: the crop and the fit see this picture.
type tilt struct {
	sin, cos         float64 // of the clockwise angle
	w, h             int     // the upright picture
	canvasW, canvasH int     // the tilted one
	cut              box     // the part of it that is resized …
	scaledW, scaledH int     // … to this,
	window           box     // of which this is kept
}

// newTilt is the tilt of a picture that is upright and mirrored already.
func newTilt(w, h int, p tasks.ResizeParams) tilt {
	angle := math.Mod(p.Rotate, 360)
	if math.Mod(angle, 90) == 0 {
		return tilt{}
	}
	if p.Flip != p.Flop { // mirrored before it is turned, it turns the other way
		angle = -angle
	}
	sin, cos := math.Sincos(angle * math.Pi / 180)
	across := math.Abs(float64(w)*cos) + math.Abs(float64(h)*sin)
	down := math.Abs(float64(w)*sin) + math.Abs(float64(h)*cos)
	return tilt{sin: sin, cos: cos, w: w, h: h, canvasW: max(1, int(math.Round(across))), canvasH: max(1, int(math.Round(down)))}
}

func (t tilt) on() bool { return t.w > 0 }

// scale is how much smaller than the picture it is tilted: as the output's larger side is, and never larger than it is.
func (t tilt) scale() float64 {
	return min(1, max(float64(t.scaledW)/float64(t.cut.w), float64(t.scaledH)/float64(t.cut.h)))
}

// upright is where a point of the tilted picture lies in the upright one.
func (t tilt) upright(x, y float64) (u, v float64) {
	x, y = x-float64(t.canvasW)/2, y-float64(t.canvasH)/2
	return x*t.cos + y*t.sin + float64(t.w)/2, y*t.cos - x*t.sin + float64(t.h)/2
}

// need is the part of the upright picture that shows in the cut, with what interpolation looks at around it.
func (t tilt) need() box {
	left, top, right, bottom := math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)
	for _, x := range []int{t.cut.x, t.cut.x + t.cut.w} {
		for _, y := range []int{t.cut.y, t.cut.y + t.cut.h} {
			u, v := t.upright(float64(x), float64(y))
			left, top, right, bottom = min(left, u), min(top, v), max(right, u), max(bottom, v)
		}
	}
	margin := 3 / t.scale()
	x, w := span(left-margin, right+margin, t.w)
	y, h := span(top-margin, bottom+margin, t.h)
	return box{x, y, w, h}
}

// span is from … to within 0 … length, and at least one pixel of it.
func span(from, to float64, length int) (start, n int) {
	start = int(max(0, min(float64(length-1), math.Floor(from))))
	end := int(max(float64(start+1), min(float64(length), math.Ceil(to))))
	return start, end - start
}

// middle is the size that the need is resized to before it is tilted.
func (t tilt) middle() (w, h int) {
	need, scale := t.need(), t.scale()
	side := func(n int) int { return max(1, int(math.Round(float64(n)*scale))) }
	return side(need.w), side(need.h)
}

// even says whether the tilted picture has the output's size as it comes; otherwise the cut is tilted whole, w × h large, and then resized.
func (t tilt) even() (w, h int, even bool) {
	scale := t.scale()
	w, h = max(1, int(math.Round(float64(t.cut.w)*scale))), max(1, int(math.Round(float64(t.cut.h)*scale)))
	return w, h, w == t.scaledW && h == t.scaledH
}
