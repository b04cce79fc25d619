package raster_test

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"io"
	"strings"
	"testing"

	"github.com/gen2brain/jpegn"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/raster"
	"github.com/millrace/millrace/tasks"
	"github.com/millrace/millrace/tasks/taskstest"
)

// plain is a picture of one colour.
func plain(w, h int, c color.NRGBA) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		m.SetNRGBA(i%w, i/w, c)
	}
	return m
}

// marked resizes the first of several inputs; the others have the ids "file-1", "file-2" …
func marked(ctx context.Context, host *taskstest.Host, e *raster.Engine, p tasks.ResizeParams, inputs ...[]byte) (output, error) {
	var files []taskstest.Input
	for i, data := range inputs {
		files = append(files, taskstest.Input{Name: fmt.Sprint(i), Data: data})
	}
	call := host.Call(files...)
	result, err := e.Resize(ctx, call, p, func(name, _ string) (io.WriteCloser, error) { return call.Create(ctx, "out"+name) })
	return output{result, "", host.Outputs()["out"], host}, err
}

func mustMark(t *testing.T, data, mark []byte, w tasks.Watermark, change func(*tasks.ResizeParams)) image.Image {
	t.Helper()
	w.File = "file-1"
	out, err := marked(t.Context(), new(taskstest.Host), raster.New(), params(func(p *tasks.ResizeParams) {
		p.Watermark = &w
		if change != nil {
			change(p)
		}
	}), data, mark)
	if err != nil {
		t.Fatal(err)
	}
	return decodeOutput(t, out)
}

func TestWatermarkPlace(t *testing.T) {
	t.Parallel()
	data := encodePNG(t, plain(200, 100, color.NRGBA{10, 10, 10, 255}))
	mark := encodePNG(t, plain(20, 10, red))
	for _, tt := range []struct {
		name string
		w    tasks.Watermark
		want image.Rectangle
	}{
		{"as it is", tasks.Watermark{}, image.Rect(180, 90, 200, 100)},
		{"margin", tasks.Watermark{Margin: 7}, image.Rect(173, 83, 193, 93)},
		{"northwest", tasks.Watermark{Gravity: "northwest", Margin: 3}, image.Rect(3, 3, 23, 13)},
		{"north", tasks.Watermark{Gravity: "north", Margin: 3}, image.Rect(90, 3, 110, 13)},
		{"center", tasks.Watermark{Gravity: "center", Margin: 3}, image.Rect(90, 45, 110, 55)},
		{"west", tasks.Watermark{Gravity: "west"}, image.Rect(0, 45, 20, 55)},
		{"scaled up", tasks.Watermark{Scale: 0.5, Gravity: "northeast"}, image.Rect(100, 0, 200, 50)},
		{"scaled down", tasks.Watermark{Scale: 0.05, Gravity: "southwest"}, image.Rect(0, 95, 10, 100)},
		{"whole", tasks.Watermark{Scale: 1}, image.Rect(0, 0, 200, 100)},
		{"no room for the margin", tasks.Watermark{Scale: 0.9, Margin: 50}, image.Rect(10, 5, 190, 95)},
		{"hardly seen", tasks.Watermark{Scale: 0.001}, image.Rect(199, 99, 200, 100)},
	} {
		m := mustMark(t, data, mark, tt.w, nil)
		var got image.Rectangle
		for i := range 200 * 100 {
			if c := color.NRGBAModel.Convert(m.At(i%200, i/200)).(color.NRGBA); c.R > 60 {
				got = got.Union(image.Rect(i%200, i/200, i%200+1, i/200+1))
			}
		}
		if got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestWatermarkBlends: by opacity and by its own transparency, over what is opaque and over what is not.
func TestWatermarkBlends(t *testing.T) {
	t.Parallel()
	over := func(under, top color.NRGBA, opacity float64) color.NRGBA {
		m := mustMark(t, encodePNG(t, plain(8, 8, under)), encodePNG(t, plain(8, 8, top)), tasks.Watermark{Opacity: opacity}, nil)
		return color.NRGBAModel.Convert(m.At(4, 4)).(color.NRGBA)
	}
	for _, tt := range []struct {
		under, top color.NRGBA
		opacity    float64
		want       color.NRGBA
	}{
		{color.NRGBA{0, 0, 0, 255}, color.NRGBA{200, 100, 50, 255}, 0, color.NRGBA{200, 100, 50, 255}},
		{color.NRGBA{0, 0, 0, 255}, color.NRGBA{200, 100, 50, 255}, 0.5, color.NRGBA{100, 50, 25, 255}},
		{color.NRGBA{100, 100, 100, 255}, color.NRGBA{200, 200, 200, 51}, 1, color.NRGBA{120, 120, 120, 255}},
		{color.NRGBA{100, 100, 100, 255}, color.NRGBA{200, 200, 200, 0}, 1, color.NRGBA{100, 100, 100, 255}},
		{color.NRGBA{0, 0, 255, 0}, color.NRGBA{200, 0, 0, 102}, 1, color.NRGBA{200, 0, 0, 102}},
		{color.NRGBA{0, 0, 200, 128}, color.NRGBA{200, 0, 0, 255}, 0.5, color.NRGBA{133, 0, 67, 192}},
	} {
		got := over(tt.under, tt.top, tt.opacity)
		off := func(a, b uint8) bool { return max(int(a)-int(b), int(b)-int(a)) > 1 }
		if off(got.R, tt.want.R) || off(got.G, tt.want.G) || off(got.B, tt.want.B) || off(got.A, tt.want.A) {
			t.Errorf("%v at %v over %v is %v, want %v", tt.top, tt.opacity, tt.under, got, tt.want)
		}
	}
}

// TestWatermarkIsTheLastThing: neither turned, blurred nor made grey with the picture, but itself upright, and on the whole canvas.
func TestWatermarkIsTheLastThing(t *testing.T) {
	t.Parallel()
	data := encodeJPEG(t, lay(plain(160, 80, color.NRGBA{90, 90, 90, 255}), 6), jpegn.EncodeOptions{Exif: exif(6)})
	mark := encodeJPEG(t, lay(quadrants(40, 40), 8), jpegn.EncodeOptions{Exif: exif(8), Subsampling: jpegn.Subsample444})
	for name, change := range map[string]func(*tasks.ResizeParams){
		"turned": func(p *tasks.ResizeParams) { p.Rotate, p.Flip = 90, true },
		"tilted": func(p *tasks.ResizeParams) { p.Rotate = 30 },
		"grey":   func(p *tasks.ResizeParams) { p.Grayscale, p.Blur, p.Sharpen = true, 20, 2 },
		"framed": func(p *tasks.ResizeParams) { p.Width, p.Height, p.Fit = 160, 160, tasks.Contain },
		"cut":    func(p *tasks.ResizeParams) { p.Width, p.Height, p.Fit = 50, 50, tasks.Cover },
	} {
		for _, format := range []string{tasks.JPEG, tasks.PNG, tasks.GIF} {
			m := mustMark(t, data, mark, tasks.Watermark{Gravity: "northwest"}, func(p *tasks.ResizeParams) {
				p.Format, p.Quality = format, 95
				change(p)
			})
			part := image.NewNRGBA(image.Rect(0, 0, 40, 40))
			for i := range 1600 {
				part.Set(i%40, i/40, m.At(i%40, i/40))
			}
			wantQuadrants(t, part, [4]int{0, 1, 2, 3}, 30)
			if t.Failed() {
				t.Fatalf("%s as %s", name, format)
			}
		}
	}
}

func TestWatermarksOfVariants(t *testing.T) {
	t.Parallel()
	with := func(name, file string, scale float64) tasks.Variant {
		return variant(name, func(p *tasks.ResizeParams) {
			p.Width, p.Format = 100, tasks.PNG
			if file != "" {
				p.Watermark = &tasks.Watermark{File: file, Scale: scale, Gravity: "center"}
			}
		})
	}
	host := new(taskstest.Host)
	_, err := marked(t.Context(), host, raster.New(), params(func(p *tasks.ResizeParams) {
		p.Variants = []tasks.Variant{with("red", "file-1", 0.5), with("none", "", 0), with("small", "file-1", 0.1), with("blue", "file-2", 0.5)}
	}), encodePNG(t, plain(200, 200, yellow)), encodePNG(t, plain(20, 20, red)), encodePNG(t, plain(20, 20, blue)))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][2]color.NRGBA{"red": {red, red}, "none": {yellow, yellow}, "small": {red, yellow}, "blue": {blue, blue}} {
		m := decodeAs(t, tasks.PNG, host.Outputs()["out"+name])
		if !near(m, 0.5, 0.5, want[0], 0) || !near(m, 0.3, 0.3, want[1], 0) || !near(m, 0.1, 0.1, yellow, 0) {
			t.Errorf("%s: %v in the middle, %v beside it", name, m.At(50, 50), m.At(30, 30))
		}
	}
	if now, _ := host.Reserved(); now != 0 {
		t.Errorf("%d bytes are still reserved", now)
	}
}

// TestWatermarksThatAreWrong: a watermark passes what every picture passes, and its fault is the job's, before anything is decoded.
func TestWatermarksThatAreWrong(t *testing.T) {
	t.Parallel()
	data, small := encodePNG(t, plain(40, 40, red)), encodePNG(t, plain(20, 20, blue))
	bomb := append([]byte(nil), small...)
	copy(bomb[16:], []byte{0, 0, 0xC3, 0x50, 0, 0, 0xC3, 0x50})
	for _, tt := range []struct {
		name string
		mark []byte
		file string
		code millrace.Code
	}{
		{"no picture", []byte("hello, this is text and no picture"), "file-1", millrace.CodeUnsupportedFormat},
		{"bomb", bomb, "file-1", millrace.CodeTooLarge},
		{"cut", small[:len(small)-20], "file-1", millrace.CodeCorrupt},
		{"no such input", small, "file-7", millrace.CodeInvalidInput},
	} {
		host := new(taskstest.Host)
		out, err := marked(t.Context(), host, raster.New(), params(func(p *tasks.ResizeParams) { p.Watermark = &tasks.Watermark{File: tt.file} }), data, tt.mark)
		if codeOf(err) != tt.code || !strings.Contains(fmt.Sprint(err), "watermark") || out.data != nil {
			t.Errorf("%s: %v, want %s about the watermark", tt.name, err, tt.code)
		}
		if now, peak := host.Reserved(); now != 0 || tt.code == millrace.CodeTooLarge && peak != 0 {
			t.Errorf("%s: reserved %d, at most %d", tt.name, now, peak)
		}
	}
	large := encodePNG(t, plain(1500, 1500, blue))
	host := &taskstest.Host{Budget: 8 << 20}
	if _, err := marked(t.Context(), host, raster.New(), params(func(p *tasks.ResizeParams) { p.Watermark = &tasks.Watermark{File: "file-1"} }), data, large); codeOf(err) != millrace.CodeTooLarge {
		t.Errorf("a watermark beyond the budget: %v", err)
	}
}
