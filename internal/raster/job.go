package raster

import (
	"cmp"
	"context"

	"github.com/millrace/millrace/tasks"
)

// How the percents of a job's progress are divided: reading ends at the first, decoding at the second, the rest is the outputs'.
const (
	readPercent   = 2
	decodePercent = 55
)

// job is one picture on its way to one or several outputs. It is decoded once, as large as the largest of them needs it, and each output is
// made of what was decoded, never of another output.
type job struct {
	header  header
	params  tasks.ResizeParams
	outputs []*output
	denom   int
	fast    bool   // JPEG by the scaling decoder
	engine  string // that did it, where it was not this one alone
	codecs  *codecs
}

// newJob decides everything that the header allows to decide, so that what it costs is known before it is spent.
func (e *Engine) newJob(h header, p tasks.ResizeParams) (*job, error) {
	j := &job{header: h, params: p, denom: 1, codecs: e.codecs}
	if len(p.Variants) == 0 {
		o, err := e.newOutput(h, p)
		if err != nil {
			return nil, err
		}
		j.outputs = append(j.outputs, o)
	}
	for _, v := range p.Variants {
		o, err := e.newOutput(h, v.ResizeParams)
		if err != nil {
			return nil, inVariant(v.Name, err)
		}
		o.name = v.Name
		j.outputs = append(j.outputs, o)
	}
	if err := e.limits.checkSum(j.outputs); err != nil {
		return nil, err
	}
	if h.format == JPEG {
		j.fast = fastJPEG(h)
	}
	if j.fast {
		j.denom = j.scaleDenom(ownRest)
	}
	return j, nil
}

// scaleDenom is how far the decoder may shrink so that the largest output still finds its pixels.
func (j *job) scaleDenom(left rest) int {
	denom := 8
	for _, o := range j.outputs {
		denom = min(denom, o.scaleDenom(left))
	}
	return denom
}

// decode decodes the picture.
func (j *job) decode(ctx context.Context, src *source, call *tasks.Call) (decoded, error) {
	src.progress = func(part float64) {
		call.Progress(readPercent+int64((decodePercent-readPercent)*part), 100, "percent", "decoding")
	}
	d, err := j.codecs.decode(src, j.header, j.fast, j.denom)
	if err != nil {
		return decoded{}, err
	}
	return d, context.Cause(ctx)
}

// finish makes the outputs of the decoded picture, one after the other, so that no two are in memory at once. The first that fails fails the job.
func (j *job) finish(ctx context.Context, d decoded, call *tasks.Call, create Create) (tasks.ResizeResult, error) {
	if err := j.focus(ctx, d); err != nil {
		return tasks.ResizeResult{}, err
	}
	rendered, sizes := make([]tasks.Rendered, len(j.outputs)), newHalves(d)
	for i, o := range j.outputs {
		o.progress = func(part float64, doing string) {
			done := (float64(i) + part) / float64(len(j.outputs))
			call.Progress(decodePercent+int64((99-decodePercent)*done), 100, "percent", doing)
		}
		source, err := d, error(nil)
		if len(j.outputs) > 1 && o.made == nil {
			source, err = sizes.enough(ctx, o.geometry)
		}
		if err == nil {
			rendered[i], err = o.make(ctx, source, create)
		}
		if err != nil {
			return tasks.ResizeResult{}, inVariant(o.name, err)
		}
	}
	return j.describe(rendered, call), nil
}

// describe is the result of a job whose outputs are all made.
func (j *job) describe(rendered []tasks.Rendered, call *tasks.Call) tasks.ResizeResult {
	result := tasks.ResizeResult{Engine: cmp.Or(j.engine, Name), Source: j.source()}
	for i, o := range j.outputs {
		if o.name == "" {
			result.Rendered = &rendered[i]
			continue
		}
		result.Variants = append(result.Variants, tasks.RenderedVariant{Name: o.name, Rendered: rendered[i]})
	}
	call.Progress(100, 100, "percent", "done")
	return result
}

// source describes the picture that came in.
func (j *job) source() tasks.Source {
	h := j.header
	s := tasks.Source{Width: h.width, Height: h.height, Format: string(h.format)}
	if j.params.AutoOrient {
		s.Width, s.Height = exifOrientation(h.exif).turn().size(h.width, h.height)
	}
	if h.frames > 1 && h.format != TIFF { // a TIFF's pages are no film
		s.Frames = h.frames
	}
	return s
}

// inVariant says which variant an error is about.
func inVariant(name string, err error) error {
	if name == "" {
		return err
	}
	return about("variant "+name, err)
}
