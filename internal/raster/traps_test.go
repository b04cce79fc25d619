package raster_test

import (
	"bytes"
	"image"
	"image/color"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/gen2brain/jpegn"

	"github.com/millrace/millrace/tasks"
)

// TestDecodersAreCalledByName: the standard registry of decoders answers by the order of imports, and several dependencies put theirs into it.
func TestDecodersAreCalledByName(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 20 {
		t.Fatal(files, err)
	}
	registry := regexp.MustCompile(`\b(image\.Decode(Config)?|imaging\.(Open|Decode|Save))\(`)
	for _, name := range files {
		if matched, _ := filepath.Match("*_test.go", name); matched {
			continue
		}
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if at := registry.FindIndex(src); at != nil {
			t.Errorf("%s calls %s", name, src[at[0]:at[1]])
		}
	}
}

// TestMetadataNeverFailsAJob: whatever is wrong with EXIF, profiles and comments, the picture is made, upright as it is stored, and nothing of them
// gets through.
func TestMetadataNeverFailsAJob(t *testing.T) {
	t.Parallel()
	whole := exif(6)
	broken := map[string][]byte{
		"cut in the directory":   whole[:20],
		"cut behind the header":  whole[:14],
		"orientation 0":          exif(0),
		"orientation 9":          exif(9),
		"directory beyond":       append(append([]byte(nil), whole[:10]...), 0xFF, 0xFF, 0xFF, 0xF0),
		"entries beyond the end": append(append([]byte(nil), whole[:14]...), 0xFF, 0xFF),
		"no TIFF":                []byte("Exif\x00\x00XX*\x00\x00\x00\x00\x08"),
	}
	src := quadrants(64, 48)
	for name, block := range broken {
		secret := []byte("SECRET-1234")
		segments := []jpegn.Segment{
			{Marker: 0xE2, Data: append([]byte("ICC_PROFILE\x00\x01\x07"), secret...)}, // the first of seven, without the others
			{Marker: 0xE2, Data: append([]byte("ICC_PROFILE\x00\x00\x00"), secret...)},
			{Marker: 0xED, Data: append([]byte("Photoshop 3.0\x008BIM"), secret...)},
			{Marker: 0xE1, Data: append([]byte("http://ns.adobe.com/xap/1.0/\x00<x:xmpmeta>"), secret...)},
			{Marker: 0xFE, Data: secret},
		}
		jpg := encodeJPEG(t, src, jpegn.EncodeOptions{Subsampling: jpegn.Subsample444, Exif: block, Segments: segments})
		pic := withChunk(withChunk(withChunk(encodePNG(t, src), "eXIf", block[min(6, len(block)):]), "iCCP", append([]byte("x\x00\x00"), secret...)), "tEXt", append([]byte("GPS\x00"), secret...))
		for _, data := range [][]byte{append(jpg, secret...), append(pic, secret...)} {
			for _, strip := range []bool{true, false} {
				m, out := mustResize(t, data, params(func(p *tasks.ResizeParams) { p.Strip, p.Quality = strip, 95 }))
				wantCorners(t, m, [4]color.NRGBA{red, green, blue, yellow}, 10)
				if m.Bounds().Size() != image.Pt(64, 48) {
					t.Errorf("%s in a %s: %v", name, out.Format, m.Bounds().Size())
				}
				if strip && bytes.Contains(out.data, secret) {
					t.Errorf("%s in a %s: what was to be stripped got through", name, out.Format)
				}
			}
		}
	}
}

// TestTurnedPicturesAreDecodedLargeEnough: the decoder's shrinking is chosen for the sides as they are stored, by the smaller of both ratios.
func TestTurnedPicturesAreDecodedLargeEnough(t *testing.T) {
	t.Parallel()
	upright := scene(420, 1680)
	data := encodeJPEG(t, lay(upright, 6), jpegn.EncodeOptions{Exif: exif(6), Subsampling: jpegn.Subsample444})
	plain := encodePNG(t, upright)
	for name, change := range map[string]func(*tasks.ResizeParams){
		"narrow": func(p *tasks.ResizeParams) { p.Width = 200 },
		"cover":  func(p *tasks.ResizeParams) { p.Width, p.Height, p.Fit = 210, 200, tasks.Cover },
		"fill":   func(p *tasks.ResizeParams) { p.Width, p.Height, p.Fit = 400, 100, tasks.Fill },
		"crop": func(p *tasks.ResizeParams) {
			p.Crop, p.Width = &tasks.Crop{X: 100, Y: 800, Width: 200, Height: 300}, 150
		},
		"tilt":   func(p *tasks.ResizeParams) { p.Rotate, p.Width = 10, 300 },
		"turned": func(p *tasks.ResizeParams) { p.Rotate, p.Height = 90, 200 },
	} {
		ask := func(p *tasks.ResizeParams) { change(p); p.Format, p.Quality = tasks.JPEG, 95 }
		m, _ := mustResize(t, data, params(ask))
		want, _ := mustResize(t, plain, params(ask))
		if got := ssim(m, want); got < 0.97 {
			t.Errorf("%s: SSIM %.4f against the same of a PNG", name, got)
		}
	}
}

// TestSidesNeverVanish: the thinnest picture keeps a pixel.
func TestSidesNeverVanish(t *testing.T) {
	t.Parallel()
	for _, size := range []image.Point{{20000, 1}, {1, 20000}} {
		for _, format := range []string{tasks.JPEG, tasks.PNG, tasks.GIF} {
			m, _ := mustResize(t, encodePNG(t, image.NewGray(image.Rect(0, 0, size.X, size.Y))), params(func(p *tasks.ResizeParams) {
				p.Width, p.Height, p.Format = 100, 100, format
			}))
			if got := m.Bounds().Size(); got != image.Pt(min(100, size.X), min(100, size.Y)) {
				t.Errorf("%v as %s became %v", size, format, got)
			}
		}
	}
}
