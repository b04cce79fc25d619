// Package order says what raster asks of an image engine in another process, and how that is written on a pipe.
//
// It holds words and frames only: how an engine's process is kept is internal/vips' business, what is done with the pictures raster's. Boxes and
// sizes are always those that raster has computed, so that every engine cuts and sizes alike.
package order

// Protocol is the version of these words. A helper that speaks another one is not used.
const Protocol = 1

// The operations.
const (
	Render = "render" // decode, cut, resize and turn the picture that follows
	Encode = "encode" // encode the raw pixels that follow
)

// Order asks for one operation. The bytes of its input follow its frame, unless Path names a file that has them.
type Order struct {
	Op      string   `json:"op"`
	Path    string   `json:"path,omitempty"`
	Format  string   `json:"format,omitempty"` // of the input, as its bytes say; nothing else is tried
	Width   int      `json:"width"`            // of the stored picture as its header says: a decoder that finds another size fails
	Height  int      `json:"height"`
	Page    int      `json:"page,omitempty"`  // frame or page of the input
	Denom   int      `json:"denom,omitempty"` // 1, 2, 4 or 8: how far a JPEG's decoder shrinks
	Outputs []Output `json:"outputs,omitempty"`

	Bands    int       `json:"bands,omitempty"` // of raw pixels
	Frames   int       `json:"frames,omitempty"`
	Delays   []int     `json:"delays,omitempty"` // of an animation, in milliseconds
	Loop     int       `json:"loop,omitempty"`   // how often it is shown; 0: for ever
	Encoding *Encoding `json:"encoding,omitempty"`

	Memory  int64 `json:"memory,omitempty"`  // bytes beyond what the process has at start; more ends it
	Seconds int   `json:"seconds,omitempty"` // of computing; more ends it
}

// Box is a rectangle of pixels.
type Box struct {
	X int `json:"x"`
	Y int `json:"y"`
	W int `json:"w"`
	H int `json:"h"`
}

// Output is one picture that is made of the input: the part called Source is resized to ScaledW × ScaledH, of which Window is kept; that is
// mirrored by columns (FlipX) and by rows (FlipY), and then rows and columns are swapped.
type Output struct {
	Source   Box       `json:"source"`
	ScaledW  int       `json:"scaled_w"`
	ScaledH  int       `json:"scaled_h"`
	Kernel   string    `json:"kernel,omitempty"` // linear, cubic, mitchell, lanczos2 or lanczos3
	Window   Box       `json:"window"`
	FlipX    bool      `json:"flip_x,omitempty"`
	FlipY    bool      `json:"flip_y,omitempty"`
	Swap     bool      `json:"swap,omitempty"`
	Encoding *Encoding `json:"encoding,omitempty"` // nil: raw pixels are wanted
}

// Encoding is a format with its settings. Metadata is never written.
type Encoding struct {
	Format      string `json:"format"`
	Quality     int    `json:"quality,omitempty"`
	Effort      int    `json:"effort,omitempty"`
	Lossless    bool   `json:"lossless,omitempty"`
	Progressive bool   `json:"progressive,omitempty"`
	FullChroma  bool   `json:"full_chroma,omitempty"`
}

// Answer is what came of an order. The bytes of its pictures follow its frame, one after the other.
type Answer struct {
	Error    string    `json:"error,omitempty"` // why there are no pictures; the helper is well
	Pictures []Picture `json:"pictures,omitempty"`
	Resident int64     `json:"resident,omitempty"` // bytes that the helper's process has
}

// Picture is raw pixels, 8 bits a band, not premultiplied, row by row without gaps; or, where Format says so, an encoded picture.
type Picture struct {
	Width  int    `json:"width"`
	Height int    `json:"height"` // of one frame
	Bands  int    `json:"bands"`  // 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha
	Bytes  int64  `json:"bytes"`
	Format string `json:"format,omitempty"`

	Data []byte `json:"-"`
}

// HasAlpha says whether the picture has a band of transparency.
func (p Picture) HasAlpha() bool { return p.Bands == 2 || p.Bands == 4 }

// Hello is the first frame of a helper.
type Hello struct {
	Protocol int      `json:"protocol"`
	Name     string   `json:"name"` // vips
	Version  string   `json:"version"`
	Reads    []string `json:"reads"`
	Writes   []string `json:"writes"`
	Error    string   `json:"error,omitempty"` // why the helper cannot work
}
