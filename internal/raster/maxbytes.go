package raster

import (
	"bytes"
	"context"
	"io"
	"math"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/tasks"
)

// maxEncodes is how often a picture is encoded in search of the best quality whose bytes fit, the first time included.
const maxEncodes = 7

// graded says whether the output's bytes depend on a quality.
func (o *output) graded() bool {
	switch o.format {
	case tasks.JPEG, tasks.AVIF:
		return true
	case tasks.WebP:
		return !o.params.Lossless
	}
	return false
}

// fitted encodes the output in no more bytes than the job allows, with the best quality that does it, up to the one asked for. encode is called
// several times, and once where the format has no quality.
func (o *output) fitted(ctx context.Context, encode func(w io.Writer, quality int) error) (data []byte, quality int, err error) {
	limit := o.params.MaxBytes
	var best []byte
	size := func(quality int) (int64, error) {
		if err := context.Cause(ctx); err != nil {
			return 0, err
		}
		b := &boundedBuffer{limit: limit}
		if err := encode(stopping{ctx, b}, quality); err != nil {
			return 0, err
		}
		if b.n <= limit { // sizes that fit only grow on the way
			best = b.Bytes()
		}
		return b.n, nil
	}
	if !o.graded() {
		n, err := size(0)
		if err == nil && n > limit {
			err = millrace.BadInput(millrace.CodeTooLarge, "the %s has %d bytes; max_bytes allows %d. Ask for fewer pixels, for more bytes, or for a format with a quality, such as jpeg",
				o.format, n, limit)
		}
		return best, 0, err
	}
	quality, least, err := bestQuality(o.params.Quality, limit, size)
	if err == nil && quality == 0 {
		err = millrace.BadInput(millrace.CodeTooLarge, "the %s has %d bytes even at quality 1; max_bytes allows %d. Ask for fewer pixels or for more bytes", o.format, least, limit)
	}
	return best, quality, err
}

// sized is a quality and the logarithm of how many bytes it takes.
type sized struct {
	quality int
	log     float64
}

// bestQuality finds the best quality up to the asked one that has at most limit bytes. It is 0 if not even 1 has, and least is what 1 takes. After
// maxEncodes tries what is known to fit is taken; the last of them goes to 1 where nothing has fitted yet.
func bestQuality(asked int, limit int64, size func(quality int) (int64, error)) (quality int, least int64, err error) {
	fits, over := sized{}, sized{quality: asked + 1}
	for left := maxEncodes - 1; left >= 0 && over.quality-fits.quality > 1; left-- {
		next := asked
		switch {
		case left == 0 && fits.quality == 0:
			next = 1
		case over.quality <= asked:
			next = guess(fits, over, math.Log(float64(limit)), 1<<left)
		}
		n, err := size(next)
		if err != nil {
			return 0, 0, err
		}
		at := sized{next, math.Log(float64(n))}
		if n <= limit {
			fits = at
		} else {
			over, least = at, n
		}
	}
	return fits.quality, least, nil
}

// guess is the quality between two known ones that is likely to have just the bytes allowed, yet not so near to either that, were it wrong, more
// would be left than halving can search with the tries that remain: reach is how far that gets. Where it does not get far enough anyway a third
// is cut off at least.
func guess(fits, over sized, limit float64, reach int) int {
	slope := -0.65 // bytes grow about so with the fineness of the steps
	if fits.quality > 0 {
		slope = (over.log - fits.log) / (steps(over.quality) - steps(fits.quality))
	}
	next := over.quality - 1
	for next > fits.quality+1 && over.log+slope*(steps(next)-steps(over.quality)) > limit {
		next--
	}
	reach = max(reach, (over.quality-fits.quality)*2/3)
	next = max(over.quality-reach, min(fits.quality+reach, next))
	return max(fits.quality+1, min(over.quality-1, next))
}

// steps is the logarithm of how coarse the steps of a JPEG's coefficients are, by the scale that all encoders use. Other formats' qualities mean
// about the same.
func steps(quality int) float64 {
	if quality < 50 {
		return math.Log(5000 / float64(max(1, quality)))
	}
	return math.Log(max(1, 200-2*float64(quality)))
}

// boundedBuffer keeps what is written as long as it is within its limit, and counts all of it.
type boundedBuffer struct {
	bytes.Buffer
	limit, n int64
}

// Write implements io.Writer.
func (b *boundedBuffer) Write(p []byte) (int, error) {
	if b.n += int64(len(p)); b.n <= b.limit {
		return b.Buffer.Write(p)
	}
	b.Buffer = bytes.Buffer{}
	return len(p), nil
}
