package tasks

import "github.com/millrace/millrace"

// InfoParams are the params of image.info.
type InfoParams struct {
	Placeholders []string `json:"placeholders,omitempty" jsonschema:"title=Placeholders,maxItems=3,uniqueItems=true,enum=blurhash,enum=thumbhash,enum=dominant_color" jsonschema_description:"What to show while the picture loads. Computing it decodes the picture, as small as will do; without it only the header is read."`
}

// InfoResult is the result of image.info: what a picture's header says.
type InfoResult struct {
	Width       int    `json:"width"`  // of the upright picture, as its orientation says
	Height      int    `json:"height"` // likewise
	Format      string `json:"format"` // by its bytes
	Bytes       int64  `json:"bytes"`
	Frames      int    `json:"frames"` // of an animation, or pages; 1 for a still
	Animated    bool   `json:"animated"`
	HasAlpha    bool   `json:"has_alpha"`         // whether it can be transparent somewhere
	Orientation int    `json:"orientation"`       // EXIF's, from 1, upright, to 8
	ColorSpace  string `json:"color_space"`       // gray, rgb or cmyk
	Depth       int    `json:"bit_depth"`         // of a sample, or of an index into a palette
	Progressive bool   `json:"progressive"`       // or interlaced
	Subsampling string `json:"subsampling"`       // of a JPEG's colours, such as 4:2:0; "" where there is none
	Profile     string `json:"profile,omitempty"` // name of the ICC profile

	ProfileClass string `json:"profile_class,omitempty"` // input, display, output or space
	EXIF         bool   `json:"exif"`                    // whether there is EXIF
	GPS          bool   `json:"gps"`                     // whether that says where the picture was taken
	Placeholders
}

// Info declares image.info.
func Info() Declaration[InfoParams] {
	return Declaration[InfoParams]{
		Name:  "image.info",
		Title: "Describe a picture",
		Description: "Answers what a picture's header says: its size upright, format, frames, colours, and whether it carries EXIF and a place. " +
			"No pixel is decoded, unless placeholders are asked for.",
		Version: "1",
		Pool:    millrace.IO,
		Pure:    true,
		Examples: []Example[InfoParams]{
			{Title: "Size, format and colours"},
			{Title: "With a placeholder for a page", Params: InfoParams{Placeholders: []string{BlurHash, DominantColor}}},
		},
	}
}
