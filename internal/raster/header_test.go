package raster

import (
	"bytes"
	"errors"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/millrace/millrace"
)

// FuzzHeader reads headers of arbitrary bytes: what passes is within the limits, what does not is classified.
func FuzzHeader(f *testing.F) {
	files, err := filepath.Glob("testdata/*.*")
	if err != nil || len(files) == 0 {
		f.Fatal(err, files)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 9, 9))); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte("GIF89a\x02\x00\x02\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"))
	limits := DefaultLimits()
	limits.Pixels, limits.MetadataBytes = 1<<20, 1<<12
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := readHeader(bytes.NewReader(data), int64(len(data)), limits)
		if err != nil {
			if e, ok := errors.AsType[*millrace.Error](err); !ok || !e.Code.Permanent() {
				t.Errorf("readHeader: %v, want a classified error", err)
			}
			return
		}
		if h.width <= 0 || h.height <= 0 || h.pixels() > limits.Pixels || h.jpeg.scans > limits.Scans {
			t.Errorf("passed %+v", h)
		}
		if len(h.icc) > limits.MetadataBytes || h.jpeg.size > int64(len(data)) {
			t.Errorf("a profile of %d bytes, a JPEG of %d of %d", len(h.icc), h.jpeg.size, len(data))
		}
		if h.format == JPEG && (h.jpeg.components < 1 || h.jpeg.components > 4 || h.jpeg.scans < 1) {
			t.Errorf("passed %+v", h.jpeg)
		}
	})
}

func TestScaleDenom(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		sampling byte
		width    int
		scaled   int
		jpeg     bool
		want     int
	}{
		{"a quarter is enough", 0x22, 4032, 800, true, 4},
		{"exactly a quarter beyond the size", 0x22, 4000, 800, true, 4},
		{"too little is left", 0x22, 4000, 801, true, 1},
		{"an eighth needs twice the size", 0x22, 4032, 252, true, 8},
		{"less than twice", 0x22, 4032, 253, true, 4},
		{"never more than 8", 0x22, 4032, 10, true, 8},
		{"nothing to shrink", 0x22, 4032, 4032, true, 1},
		{"full chroma needs twice as much", 0x22, 4032, 800, false, 1},
		{"full chroma of less", 0x22, 4032, 500, false, 4},
		{"no subsampling, full chroma", 0x11, 4032, 800, false, 4},
		{"a quarter of the chroma", 0x41, 4032, 500, true, 4},
	} {
		o := &output{header: header{format: JPEG, width: tt.width, height: tt.width}}
		o.header.jpeg = jpegFrame{components: 3, sampling: [4]byte{tt.sampling, 0x11, 0x11}}
		o.geometry = geometry{source: box{0, 0, tt.width, tt.width}, scaledW: tt.scaled, scaledH: tt.scaled}
		o.params.Quality = 80
		if tt.jpeg {
			o.format = "jpeg"
		}
		if got := o.scaleDenom(ownRest); got != tt.want {
			t.Errorf("%s: %d → %d by %d, want %d", tt.name, tt.width, tt.scaled, got, tt.want)
		}
	}
}
