package raster

import (
	"context"
	"fmt"

	"github.com/millrace/millrace/tasks"
)

// facts are what a header says of a picture's samples. They are told, and nothing is decided by them.
type facts struct {
	space      string // gray, rgb or cmyk; "" means rgb
	depth      int    // bits of a sample; 0 means 8
	alpha      bool
	interlaced bool
}

// Info describes the call's first input by its header. Its pixels are decoded for placeholders alone, as small as these need.
func (e *Engine) Info(ctx context.Context, call *tasks.Call, p tasks.InfoParams) (tasks.InfoResult, error) {
	in, err := call.Open(ctx, 0)
	if err != nil {
		return tasks.InfoResult{}, fmt.Errorf("open the picture: %w", err)
	}
	defer in.Close()
	src := &source{ctx: ctx, in: in, length: call.Inputs()[0].Size}
	call.Progress(0, 100, "percent", "reading")
	h, err := readHeader(src, src.length, e.limits)
	if err != nil {
		return tasks.InfoResult{}, src.cause(err)
	}
	r := h.info()
	r.Bytes = src.length
	if len(p.Placeholders) > 0 {
		if r.Placeholders, err = e.preview(ctx, call, src, h, p.Placeholders); err != nil {
			return tasks.InfoResult{}, err
		}
	}
	call.Progress(100, 100, "percent", "done")
	return r, nil
}

// info is the header in words.
func (h header) info() tasks.InfoResult {
	o := exifOrientation(h.exif)
	w, ht := o.turn().size(h.width, h.height)
	r := tasks.InfoResult{
		Width: w, Height: ht, Format: string(h.format), Frames: max(1, h.frames), Animated: h.frames > 1 && string(h.format) != tasks.TIFF,
		HasAlpha: h.facts.alpha, Orientation: int(o), ColorSpace: h.facts.space, Depth: h.facts.depth, Progressive: h.facts.interlaced,
		Profile: profileName(h.icc), ProfileClass: profileClass(h.icc),
	}
	if h.format == JPEG {
		r.Progressive, r.Subsampling = h.jpeg.progressive(), h.jpeg.subsampling()
		r.ColorSpace = map[int]string{1: "gray", 4: "cmyk"}[h.jpeg.components]
	}
	if r.ColorSpace == "" {
		r.ColorSpace = "rgb"
	}
	if r.Depth == 0 {
		r.Depth = 8
	}
	if d, ok := firstDirectory(h.exif); ok {
		r.EXIF = true
		_, r.GPS = d.find(tagGPS)
	}
	return r
}

// subsampling is how the colours of a JPEG are subsampled, in the usual words, "" where it has none.
func (f jpegFrame) subsampling() string {
	if f.components != 3 || f.sampling[1] != f.sampling[2] {
		return ""
	}
	luma, chroma := f.sampling[0], f.sampling[1]
	x, y := float64(luma>>4)/float64(chroma>>4), float64(luma&15)/float64(chroma&15)
	names := map[[2]float64]string{{1, 1}: "4:4:4", {2, 1}: "4:2:2", {2, 2}: "4:2:0", {1, 2}: "4:4:0", {4, 1}: "4:1:1", {4, 2}: "4:1:0"}
	return names[[2]float64{x, y}]
}

// preview decodes the picture as small as placeholders need it.
func (e *Engine) preview(ctx context.Context, call *tasks.Call, src *source, h header, wanted []string) (tasks.Placeholders, error) {
	p := tasks.Resize().Defaults
	p.Width, p.Height, p.Format = copySide, copySide, tasks.PNG
	j, err := e.newJob(h, p)
	if err != nil {
		return tasks.Placeholders{}, err
	}
	release, err := call.Reserve(ctx, j.memory())
	if err != nil {
		return tasks.Placeholders{}, fmt.Errorf("reserve memory for %d × %d pixels: %w", h.width, h.height, err)
	}
	defer release()
	d, err := j.decode(ctx, src, call)
	if err != nil {
		return tasks.Placeholders{}, src.cause(err)
	}
	o := j.outputs[0]
	o.progress = func(part float64, doing string) {
		call.Progress(decodePercent+int64((99-decodePercent)*part), 100, "percent", doing)
	}
	m, err := o.pixels(ctx, d)
	if err != nil {
		return tasks.Placeholders{}, err
	}
	return placeholders(ctx, m, wanted)
}
