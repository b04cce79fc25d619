package tasks

// The placeholders that a picture's result can have.
const (
	BlurHash      = "blurhash"
	ThumbHash     = "thumbhash"
	DominantColor = "dominant_color"
)

// Placeholders are what a page can show while the picture loads. Each is there if it was asked for.
type Placeholders struct {
	BlurHash      string `json:"blurhash,omitempty"`
	ThumbHash     string `json:"thumbhash,omitempty"`      // base64
	DominantColor string `json:"dominant_color,omitempty"` // #rrggbb, unless nothing of the picture can be seen
}
