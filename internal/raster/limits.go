package raster

import (
	"fmt"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/tasks"
)

// Limits bound what a picture may cost. They are checked on its header before anything is decoded, and on the result before it is made.
type Limits struct {
	FileBytes     int64 // of the input
	Pixels        int64 // of one frame of the input
	OutSide       int   // width and height of the output, unless the input's are longer
	OutPixels     int64 // of all outputs of a job together
	Frames        int   // of an animation
	FramePixels   int64 // frames × canvas of an animation
	MetadataBytes int   // an ICC profile or EXIF block beyond it is ignored
	Scans         int   // of a progressive JPEG
	AVIFPixels    int64 // of an AVIF that is made: its encoder is slow, and takes 48 bytes for each
}

// DefaultLimits are meant for pictures from strangers.
func DefaultLimits() Limits {
	return Limits{
		FileBytes: 100 << 20, Pixels: 100e6, OutSide: 16384, OutPixels: 50e6,
		Frames: 500, FramePixels: 250e6, MetadataBytes: 4 << 20, Scans: 100, AVIFPixels: 16e6,
	}
}

// maxSide is the longest side that the formats themselves can state, with PNG cut to what JPEG and GIF have.
const maxSide = 65535

func (l Limits) checkFile(size int64) error {
	if size > l.FileBytes {
		return millrace.BadInput(millrace.CodeTooLarge, "the file has %d bytes; a picture may have at most %d", size, l.FileBytes)
	}
	return nil
}

// checkHeader checks what a header declares.
func (l Limits) checkHeader(h header) error {
	if h.width <= 0 || h.height <= 0 {
		return corrupt(h.format, fmt.Errorf("declares %d × %d pixels", h.width, h.height))
	}
	if h.width > maxSide || h.height > maxSide {
		return millrace.BadInput(millrace.CodeTooLarge, "the picture declares %d × %d pixels; a side may have at most %d", h.width, h.height, maxSide)
	}
	if h.pixels() > l.Pixels {
		return millrace.BadInput(millrace.CodeTooLarge, "the picture declares %d × %d pixels, that is %s; at most %s are taken",
			h.width, h.height, megapixels(h.pixels()), megapixels(l.Pixels))
	}
	if h.jpeg.scans > l.Scans {
		return millrace.BadInput(millrace.CodeTooLarge, "the JPEG has more than %d scans; save it again with an ordinary encoder", l.Scans)
	}
	return nil
}

// checkAnimation checks a film of which so many frames have to be composed.
func (l Limits) checkAnimation(h header, frames int) error {
	const remedy = "Ask for a lower frame, for fewer pages, or pages 1 to get a still picture"
	if frames > l.Frames {
		return millrace.BadInput(millrace.CodeTooManyFrames, "that takes %d frames of the animation; at most %d are taken. %s", frames, l.Frames, remedy)
	}
	if total := int64(frames) * h.pixels(); total > l.FramePixels {
		return millrace.BadInput(millrace.CodeTooLarge, "the animation's %d frames have %s together; at most %s are taken. %s",
			frames, megapixels(total), megapixels(l.FramePixels), remedy)
	}
	return nil
}

// checkFormat checks the output against what its format can hold, and its encoder bear.
func (l Limits) checkFormat(format string, g geometry, frames int) error {
	px, side := int64(g.canvasW)*int64(g.canvasH), max(g.canvasW, g.canvasH)
	switch {
	case format == tasks.WebP && side > maxWebPSide:
		return millrace.BadInput(millrace.CodeTooLarge, "the output would have %d × %d pixels; a side of a WebP has at most %d", g.canvasW, g.canvasH, maxWebPSide)
	case format == tasks.AVIF && px > l.AVIFPixels:
		return millrace.BadInput(millrace.CodeTooLarge, "the output would have %d × %d pixels, that is %s; an AVIF is made with at most %s. Ask for a smaller size or another format",
			g.canvasW, g.canvasH, megapixels(px), megapixels(l.AVIFPixels))
	case frames > 1 && int64(frames)*px > l.FramePixels:
		return millrace.BadInput(millrace.CodeTooLarge, "the output's %d frames would have %s together; at most %s are made. Ask for a smaller size or fewer pages",
			frames, megapixels(int64(frames)*px), megapixels(l.FramePixels))
	}
	return nil
}

// checkOutput checks the size of the result. A side longer than the limit passes if the input's is as long: nothing was enlarged.
func (l Limits) checkOutput(h header, g geometry) error {
	for _, side := range []int{g.canvasW, g.canvasH} {
		if side > l.OutSide && side > max(h.width, h.height) {
			return millrace.BadInput(millrace.CodeTooLarge, "the output would have %d × %d pixels; a side may have at most %d", g.canvasW, g.canvasH, l.OutSide)
		}
	}
	if px := int64(g.canvasW) * int64(g.canvasH); px > l.OutPixels {
		return millrace.BadInput(millrace.CodeTooLarge, "the output would have %d × %d pixels, that is %s; at most %s are made. Ask for a smaller width or height",
			g.canvasW, g.canvasH, megapixels(px), megapixels(l.OutPixels))
	}
	return nil
}

// checkSum checks what all outputs of a job have together.
func (l Limits) checkSum(outputs []*output) error {
	var px int64
	for _, o := range outputs {
		px += int64(o.geometry.canvasW) * int64(o.geometry.canvasH)
	}
	if px > l.OutPixels {
		return millrace.BadInput(millrace.CodeTooLarge, "the %d variants would have %s together; at most %s are made by one job. Ask for smaller ones, or divide them among jobs",
			len(outputs), megapixels(px), megapixels(l.OutPixels))
	}
	return nil
}

func megapixels(px int64) string { return fmt.Sprintf("%.4g megapixels", float64(px)/1e6) }
