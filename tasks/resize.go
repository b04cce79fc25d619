package tasks

import (
	"encoding/json"

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

// The picture formats of the contract. This release reads the first three and WebP, and writes the first three.
const (
	JPEG = "jpeg"
	PNG  = "png"
	GIF  = "gif"
	WebP = "webp"
	AVIF = "avif"
	TIFF = "tiff"
)

// ResizeParams are the params of image.resize. The picture is turned upright, rotated, mirrored, cropped, resized and then given its effects.
type ResizeParams struct {
	Width  int `json:"width,omitempty" jsonschema:"title=Width,minimum=1,maximum=16384" jsonschema_description:"Width in pixels. Left out, it follows from the height; with neither given the size stays."`
	Height int `json:"height,omitempty" jsonschema:"title=Height,minimum=1,maximum=16384" jsonschema_description:"Height in pixels. Left out, it follows from the width."`

	Fit     string `json:"fit" jsonschema:"title=Fit,enum=inside,enum=outside,enum=cover,enum=contain,enum=fill" jsonschema_description:"How the picture meets a box of width and height: inside it; outside it; cover (exact size, surplus cut off); contain (exact size, rest filled with background); fill (exact size, stretched)."`
	Gravity string `json:"gravity" jsonschema:"title=Gravity,enum=center,enum=north,enum=northeast,enum=east,enum=southeast,enum=south,enum=southwest,enum=west,enum=northwest,enum=smart" jsonschema_description:"The part that cover keeps, and where contain puts the picture. smart is not available in this release."`
	Enlarge bool   `json:"enlarge" jsonschema:"title=Enlarge" jsonschema_description:"Whether a picture smaller than asked for is enlarged. Otherwise cover keeps the box's shape at a smaller size, and the other fits leave the picture as it is."`

	Format     string `json:"format,omitempty" jsonschema:"title=Format,enum=jpeg,enum=png,enum=gif,enum=webp,enum=avif,enum=tiff" jsonschema_description:"Format of the output: jpeg, png or gif in this release. Left out, it is the input's; a WebP becomes PNG where it has transparency and JPEG elsewhere."`
	Quality    int    `json:"quality" jsonschema:"title=Quality,minimum=1,maximum=100" jsonschema_description:"Quality of a JPEG. From 90 on the colours keep their full resolution."`
	Background string `json:"background" jsonschema:"title=Background,maxLength=11" jsonschema_description:"What contain fills the rest with and what lies under transparency in a JPEG: #rgb, #rrggbb, #rrggbbaa or transparent."`

	AutoOrient bool    `json:"auto_orient" jsonschema:"title=Turn upright" jsonschema_description:"Turn the picture as its EXIF orientation says."`
	Strip      bool    `json:"strip" jsonschema:"title=Strip metadata" jsonschema_description:"Drop all metadata and convert the colours to sRGB. With false JPEG and PNG keep EXIF (without its thumbnail, orientation put right) and the ICC profile."`
	Rotate     float64 `json:"rotate,omitempty" jsonschema:"title=Rotate,minimum=0,maximum=360" jsonschema_description:"Clockwise turn in degrees: 0, 90, 180 or 270 in this release."`
	Flip       bool    `json:"flip" jsonschema:"title=Flip" jsonschema_description:"Mirror top to bottom."`
	Flop       bool    `json:"flop" jsonschema:"title=Flop" jsonschema_description:"Mirror left to right."`

	Grayscale bool    `json:"grayscale" jsonschema:"title=Greyscale" jsonschema_description:"Drop the colours."`
	Blur      float64 `json:"blur,omitempty" jsonschema:"title=Blur,minimum=0,maximum=250" jsonschema_description:"Gaussian blur: its sigma in pixels of the output."`
	Sharpen   float64 `json:"sharpen,omitempty" jsonschema:"title=Sharpen,minimum=0,maximum=10" jsonschema_description:"Unsharp mask: its sigma in pixels of the output."`

	Crop *Crop `json:"crop,omitempty" jsonschema:"title=Crop" jsonschema_description:"A part of the upright picture, cut out before resizing."`

	Watermark json.RawMessage `json:"watermark,omitempty" jsonschema:"title=Watermark" jsonschema_description:"Not available in this release." jsonschema_extras:"x-not-available=true"`
	MaxBytes  json.RawMessage `json:"max_bytes,omitempty" jsonschema:"title=Most bytes" jsonschema_description:"Not available in this release." jsonschema_extras:"x-not-available=true"`
	Preset    json.RawMessage `json:"preset,omitempty" jsonschema:"title=Preset" jsonschema_description:"Not available in this release." jsonschema_extras:"x-not-available=true"`
	Variants  json.RawMessage `json:"variants,omitempty" jsonschema:"title=Variants" jsonschema_description:"Not available in this release." jsonschema_extras:"x-not-available=true"`
}

// Crop is a box of pixels in the upright picture.
type Crop struct {
	X      int `json:"x" jsonschema:"required,minimum=0,maximum=65535"`
	Y      int `json:"y" jsonschema:"required,minimum=0,maximum=65535"`
	Width  int `json:"width" jsonschema:"required,minimum=1,maximum=65535"`
	Height int `json:"height" jsonschema:"required,minimum=1,maximum=65535"`
}

// Validate refuses what a schema cannot: colours that are none, and what the contract has but this release has not.
func (p *ResizeParams) Validate() error {
	if _, ok := ParseColor(p.Background); !ok {
		return millrace.InvalidField("/params/background", "must be a colour: #rgb, #rrggbb, #rrggbbaa or transparent, not %q", p.Background)
	}
	switch p.Format {
	case WebP, AVIF, TIFF:
		return notAvailable("format", "%s output is not available in this release; use jpeg, png or gif", p.Format)
	}
	if p.Gravity == "smart" {
		return notAvailable("gravity", "smart is not available in this release; use center or a direction such as north")
	}
	switch p.Rotate {
	case 0, 90, 180, 270:
	default:
		return notAvailable("rotate", "of %v degrees is not available in this release; use 0, 90, 180 or 270", p.Rotate)
	}
	for _, later := range []struct {
		field string
		value json.RawMessage
		hint  string
	}{
		{"watermark", p.Watermark, "send the job without it"},
		{"max_bytes", p.MaxBytes, "choose a quality instead"},
		{"preset", p.Preset, "send the parameters themselves"},
		{"variants", p.Variants, "send one job for each size"},
	} {
		if later.value != nil {
			return notAvailable(later.field, "is not available in this release; %s", later.hint)
		}
	}
	return nil
}

// notAvailable answers what the contract describes and this release lacks, so that nobody takes the refusal for a typing mistake.
func notAvailable(field, format string, args ...any) error {
	err := millrace.InvalidField(pointer(field), format, args...)
	err.Code = millrace.CodeNotAvailable
	return err
}

// ResizeResult is the result of image.resize.
type ResizeResult struct {
	Width  int    `json:"width"`
	Height int    `json:"height"`
	Format string `json:"format"`
	Engine string `json:"engine"` // which engine did the work, with its version
	Source Source `json:"source"`
}

// Source is the picture that came in. Width and Height are those of the upright picture where it was turned upright.
type Source struct {
	Width  int    `json:"width"`
	Height int    `json:"height"`
	Format string `json:"format"`
	Frames int    `json:"frames,omitempty"` // of an animation; its first frame was used
}

// Resize declares image.resize.
func Resize() Declaration[ResizeParams] {
	defaults := ResizeParams{Fit: Inside, Gravity: "center", Quality: 80, Background: "#ffffff", AutoOrient: true, Strip: true}
	example := func(change func(*ResizeParams)) ResizeParams {
		p := defaults
		change(&p)
		return p
	}
	return Declaration[ResizeParams]{
		Name:  "image.resize",
		Title: "Resize a picture",
		Description: "Shrinks, crops, turns and converts a JPEG, PNG, GIF or WebP picture into a JPEG, PNG or GIF. " +
			"Of an animation the first frame is taken, and `source.frames` says how many there were.",
		Version:  "1",
		Pool:     millrace.CPU,
		Pure:     true,
		Defaults: defaults,
		Examples: []Example[ResizeParams]{
			{Title: "A photo for a page, 800 pixels wide", Params: example(func(p *ResizeParams) { p.Width, p.Format = 800, JPEG })},
			{Title: "A square thumbnail", Params: example(func(p *ResizeParams) { p.Width, p.Height, p.Fit = 200, 200, Cover })},
			{Title: "A grey PNG on a fixed canvas", Params: example(func(p *ResizeParams) {
				p.Width, p.Height, p.Fit, p.Format, p.Grayscale = 640, 480, Contain, PNG, true
			})},
		},
	}
}
