package tasks

import (
	"strconv"
	"strings"

	"github.com/millrace/millrace"
)

// How a picture is fitted into width × height when both are given. With one of them the other side follows the aspect ratio.
const (
	Inside  = "inside"  // as large as fits into the box
	Outside = "outside" // as small as covers the box, nothing cut off
	Cover   = "cover"   // exactly the box, the surplus cut off where gravity says
	Contain = "contain" // exactly the box, the rest filled with background
	Fill    = "fill"    // exactly the box, stretched
)

// GravitySmart is the gravity that looks at the picture. The others are "center" and the names of its sides and corners, such as "northeast".
const GravitySmart = "smart"

// The picture formats.
const (
	JPEG = "jpeg"
	PNG  = "png"
	GIF  = "gif"
	WebP = "webp"
	AVIF = "avif"
	TIFF = "tiff"
)

// ResizeParams are the params of image.resize. The picture is turned upright, rotated, mirrored, cropped, resized, given its effects and its
// watermark, and encoded anew.
type ResizeParams struct {
	Width  int `json:"width,omitempty" jsonschema:"title=Width,minimum=1,maximum=16384" jsonschema_description:"Width in pixels. Left out, it follows from the height; with neither given the size stays."`
	Height int `json:"height,omitempty" jsonschema:"title=Height,minimum=1,maximum=16384" jsonschema_description:"Height in pixels. Left out, it follows from the width."`

	Fit     string `json:"fit" jsonschema:"title=Fit,enum=inside,enum=outside,enum=cover,enum=contain,enum=fill" jsonschema_description:"How the picture meets a box of width and height: inside it; outside it; cover (exact size, surplus cut off); contain (exact size, rest filled with background); fill (exact size, stretched)."`
	Gravity string `json:"gravity" jsonschema:"title=Gravity,enum=center,enum=north,enum=northeast,enum=east,enum=southeast,enum=south,enum=southwest,enum=west,enum=northwest,enum=smart" jsonschema_description:"The part that cover keeps, and where contain puts the picture. smart looks for the part that catches the eye."`
	Enlarge bool   `json:"enlarge" jsonschema:"title=Enlarge" jsonschema_description:"Whether a picture smaller than asked for is enlarged. Otherwise cover keeps the box's shape at a smaller size, and the other fits leave the picture as it is."`
	Kernel  string `json:"kernel" jsonschema:"title=Kernel,enum=auto,enum=nearest,enum=linear,enum=cubic,enum=mitchell,enum=lanczos2,enum=lanczos3" jsonschema_description:"The filter that resizes: auto is lanczos3 for shrinking and cubic (Catmull-Rom) for enlarging."`
	Linear  bool   `json:"linear_light" jsonschema:"title=Linear light" jsonschema_description:"Resize in linear light instead of on gamma-encoded values, which is what most programs do."`

	Frame int `json:"frame,omitempty" jsonschema:"title=First frame,minimum=0,maximum=65535" jsonschema_description:"The first frame that is taken of an animation, or page of a TIFF, counted from 0."`
	Pages int `json:"pages,omitempty" jsonschema:"title=Frames,minimum=0,maximum=65535" jsonschema_description:"How many frames are taken of an animation: 1 makes a still picture; 0 takes all of them where the output's format can move, else one."`

	Format      string `json:"format,omitempty" jsonschema:"title=Format,enum=jpeg,enum=png,enum=webp,enum=gif,enum=avif,enum=tiff" jsonschema_description:"Format of the output. Left out, it is the input's."`
	Quality     int    `json:"quality,omitempty" jsonschema:"title=Quality,minimum=1,maximum=100" jsonschema_description:"Quality of a JPEG, WebP or AVIF. Left out: 80, for AVIF 50. From 90 on the colours of a JPEG keep their full resolution."`
	MaxBytes    int64  `json:"max_bytes,omitempty" jsonschema:"title=Most bytes,minimum=100,maximum=1073741824" jsonschema_description:"The best quality up to the one asked for whose output has no more bytes than this. It fails where even the lowest has more."`
	Lossless    bool   `json:"lossless" jsonschema:"title=Lossless" jsonschema_description:"Keep every pixel of a WebP."`
	Progressive bool   `json:"progressive" jsonschema:"title=Progressive" jsonschema_description:"Write a JPEG that shows coarse first."`
	Subsampling string `json:"subsampling" jsonschema:"title=Chroma subsampling,enum=auto,enum=4:4:4,enum=4:2:2,enum=4:2:0" jsonschema_description:"The resolution of a JPEG's colours: auto is 4:2:0 below quality 90 and 4:4:4 from there on."`
	Background  string `json:"background" jsonschema:"title=Background,maxLength=11" jsonschema_description:"What contain and a free rotation fill the rest with and what lies under transparency in a JPEG: #rgb, #rrggbb, #rrggbbaa or transparent."`

	AutoOrient bool    `json:"auto_orient" jsonschema:"title=Turn upright" jsonschema_description:"Turn the picture as its EXIF orientation says."`
	Strip      bool    `json:"strip" jsonschema:"title=Strip metadata" jsonschema_description:"Drop all metadata and convert the colours to sRGB. With false JPEG, PNG and WebP keep EXIF (without its thumbnail, orientation put right) and the ICC profile; TIFF keeps the profile, the copyright and other words."`
	Rotate     float64 `json:"rotate,omitempty" jsonschema:"title=Rotate,minimum=0,maximum=360" jsonschema_description:"Clockwise turn in degrees, before everything else. By other than right angles the canvas grows to hold the whole picture and background fills its corners."`
	Flip       bool    `json:"flip" jsonschema:"title=Flip" jsonschema_description:"Mirror top to bottom."`
	Flop       bool    `json:"flop" jsonschema:"title=Flop" jsonschema_description:"Mirror left to right."`

	Grayscale bool    `json:"grayscale" jsonschema:"title=Greyscale" jsonschema_description:"Drop the colours."`
	Blur      float64 `json:"blur,omitempty" jsonschema:"title=Blur,minimum=0,maximum=250" jsonschema_description:"Gaussian blur: its sigma in pixels of the output."`
	Sharpen   float64 `json:"sharpen,omitempty" jsonschema:"title=Sharpen,minimum=0,maximum=10" jsonschema_description:"Unsharp mask: its sigma in pixels of the output."`

	Crop      *Crop      `json:"crop,omitempty" jsonschema:"title=Crop" jsonschema_description:"A part of the upright picture, cut out before resizing."`
	Watermark *Watermark `json:"watermark,omitempty" jsonschema:"title=Watermark" jsonschema_description:"A picture that is laid on the result."`

	Placeholders []string `json:"placeholders,omitempty" jsonschema:"title=Placeholders,maxItems=3,uniqueItems=true,enum=blurhash,enum=thumbhash,enum=dominant_color" jsonschema_description:"What to show while the picture loads, computed into the result."`

	Variants []Variant `json:"variants,omitempty" jsonschema:"title=Variants,maxItems=32" jsonschema_description:"Several outputs from one decode: each a name and the parameters in which it differs from those beside this list."`
}

// Watermark is a picture that is laid on another.
type Watermark struct {
	File    string  `json:"file" jsonschema:"required,title=File" jsonschema_description:"The id of an uploaded picture."`
	Gravity string  `json:"gravity,omitempty" jsonschema:"enum=center,enum=north,enum=northeast,enum=east,enum=southeast,enum=south,enum=southwest,enum=west,enum=northwest" jsonschema_description:"Where it goes; southeast when left out."`
	Opacity float64 `json:"opacity,omitempty" jsonschema:"minimum=0,maximum=1" jsonschema_description:"From 0, invisible, to 1, which is what a left-out or zero value means, too."`
	Scale   float64 `json:"scale,omitempty" jsonschema:"minimum=0,maximum=1" jsonschema_description:"Its width as a part of the result's; left out, it keeps its size unless it is larger than the result."`
	Margin  int     `json:"margin,omitempty" jsonschema:"minimum=0,maximum=16384" jsonschema_description:"Pixels between it and the edges that gravity names."`
}

// Crop is a box of pixels in the upright picture.
type Crop struct {
	X      int `json:"x" jsonschema:"required,minimum=0,maximum=65535"`
	Y      int `json:"y" jsonschema:"required,minimum=0,maximum=65535"`
	Width  int `json:"width" jsonschema:"required,minimum=1,maximum=65535"`
	Height int `json:"height" jsonschema:"required,minimum=1,maximum=65535"`
}

// Validate refuses what a schema cannot: colours that are none, and names that are taken.
func (p *ResizeParams) Validate() error {
	if err := p.check(pointer()); err != nil {
		return err
	}
	taken := make(map[string]int, len(p.Variants))
	for i, v := range p.Variants {
		at := pointer("variants", strconv.Itoa(i))
		if strings.Trim(v.Name, ".") == "" {
			return millrace.InvalidField(at+"/name", "must be a file name, not only dots")
		}
		if first, ok := taken[v.Name]; ok {
			return millrace.InvalidField(at+"/name", "must differ from the name of variant %d; the outputs are called so", first)
		}
		taken[v.Name] = i
		if err := v.check(at); err != nil {
			return err
		}
	}
	return nil
}

// check checks the params of one output, which stand at a pointer.
func (p *ResizeParams) check(at string) error {
	if _, ok := ParseColor(p.Background); !ok {
		return millrace.InvalidField(at+"/background", "must be a colour: #rgb, #rrggbb, #rrggbbaa or transparent, not %q", p.Background)
	}
	return nil
}

// ResizeResult is the result of image.resize.
type ResizeResult struct {
	*Rendered                   // nil where there are variants
	Engine    string            `json:"engine"` // which engine did the work, with its version
	Source    Source            `json:"source"`
	Variants  []RenderedVariant `json:"variants,omitempty"` // in the order of the params
}

// Rendered is one output.
type Rendered struct {
	Width    int    `json:"width"`
	Height   int    `json:"height"` // of one frame
	Format   string `json:"format"`
	Bytes    int64  `json:"bytes"`
	Quality  int    `json:"quality,omitempty"` // that it was written with, where the format has one
	Pages    int    `json:"pages,omitempty"`   // frames, if more than one
	HasAlpha bool   `json:"has_alpha"`
	Placeholders
}

// RenderedVariant is the output of a variant. The output has the variant's name.
type RenderedVariant struct {
	Name string `json:"name"`
	Rendered
}

// Source is the picture that came in. Width and Height are those of the upright picture where it was turned upright.
type Source struct {
	Width  int    `json:"width"`
	Height int    `json:"height"`
	Format string `json:"format"`
	Frames int    `json:"frames,omitempty"` // of an animation
}

// Resize declares image.resize.
func Resize() Declaration[ResizeParams] {
	defaults := ResizeParams{Fit: Inside, Gravity: "center", Kernel: KernelAuto, Subsampling: "auto", Background: "#ffffff", AutoOrient: true, Strip: true}
	example := func(change func(*ResizeParams)) ResizeParams {
		p := defaults
		change(&p)
		return p
	}
	return Declaration[ResizeParams]{
		Name:  "image.resize",
		Title: "Resize a picture",
		Description: "Shrinks, crops, turns and converts a JPEG, PNG, WebP, GIF, AVIF or TIFF picture into any of these. " +
			"An animated GIF or WebP stays animated where the output is one of the two; else its first frame is taken, and `source.frames` says how many there were.",
		Version:  "1",
		Pool:     millrace.CPU,
		Pure:     true,
		Refs:     watermarks,
		Defaults: defaults,
		Examples: []Example[ResizeParams]{
			{Title: "A photo for a page, 800 pixels wide", Params: example(func(p *ResizeParams) { p.Width, p.Format = 800, JPEG })},
			{Title: "A square thumbnail", Params: example(func(p *ResizeParams) { p.Width, p.Height, p.Fit = 200, 200, Cover })},
			{Title: "A grey PNG on a fixed canvas", Params: example(func(p *ResizeParams) {
				p.Width, p.Height, p.Fit, p.Format, p.Grayscale = 640, 480, Contain, PNG, true
			})},
			{Title: "A portrait around what catches the eye", Params: example(func(p *ResizeParams) {
				p.Width, p.Height, p.Fit, p.Gravity = 300, 400, Cover, GravitySmart
			})},
			{Title: "Two sizes from one decode", Params: example(func(p *ResizeParams) {
				p.Variants = []Variant{
					{Name: "page.jpg", ResizeParams: example(func(p *ResizeParams) { p.Width, p.Format, p.Progressive = 1200, JPEG, true })},
					{Name: "list.jpg", ResizeParams: example(func(p *ResizeParams) { p.Width, p.Format, p.MaxBytes = 320, JPEG, 20_000 })},
				}
			})},
		},
	}
}
