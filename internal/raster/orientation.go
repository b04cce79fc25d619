package raster

// Orientation is one of the eight ways a stored picture can be laid down, numbered as EXIF does: what must be done to the stored pixels to see
// the picture upright. The zero value means the same as 1.
type Orientation int

// turn is an Orientation taken apart: mirror the stored columns, mirror the stored rows, then swap rows and columns.
type turn struct{ flipX, flipY, swap bool }

func (o Orientation) turn() turn {
	switch o {
	case 2:
		return turn{flipX: true}
	case 3:
		return turn{flipX: true, flipY: true}
	case 4:
		return turn{flipY: true}
	case 5:
		return turn{swap: true}
	case 6:
		return turn{flipY: true, swap: true}
	case 7:
		return turn{flipX: true, flipY: true, swap: true}
	case 8:
		return turn{flipX: true, swap: true}
	}
	return turn{}
}

// then is the turn that does t first and u after it.
func (t turn) then(u turn) turn {
	// Moving u's mirrors in front of t's swap exchanges their axes.
	if t.swap {
		u.flipX, u.flipY = u.flipY, u.flipX
	}
	return turn{flipX: t.flipX != u.flipX, flipY: t.flipY != u.flipY, swap: t.swap != u.swap}
}

// upright is the whole turn that a job asks for: the EXIF orientation, a clockwise rotation by right angles, and mirrors. Other angles are the
// business of tilt.
func upright(o Orientation, degrees float64, flip, flop bool) turn {
	t := o.turn()
	switch degrees {
	case 90:
		t = t.then(Orientation(6).turn())
	case 180:
		t = t.then(Orientation(3).turn())
	case 270:
		t = t.then(Orientation(8).turn())
	}
	return t.then(turn{flipX: flop, flipY: flip})
}

// size is the size of a w × h picture after the turn.
func (t turn) size(w, h int) (int, int) {
	if t.swap {
		return h, w
	}
	return w, h
}

// back finds where a box of the turned picture lies in the stored one, which is w × h.
func (t turn) back(b box, w, h int) box {
	if t.swap {
		b = box{b.y, b.x, b.h, b.w}
	}
	if t.flipX {
		b.x = w - b.x - b.w
	}
	if t.flipY {
		b.y = h - b.y - b.h
	}
	return b
}
