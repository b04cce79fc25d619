package raster_test

import (
	"image"
	"image/color"
	"image/gif"
	"os"
	"path/filepath"
	"testing"

	"github.com/gen2brain/jpegn"

	"github.com/millrace/millrace/internal/raster"
	"github.com/millrace/millrace/tasks"
	"github.com/millrace/millrace/tasks/taskstest"
)

// FuzzResize feeds arbitrary bytes and options to the whole engine. Whatever comes in, there is a sound picture or a classified error, in
// bounded memory and with nothing left reserved.
func FuzzResize(f *testing.F) {
	small := quadrants(17, 11)
	f.Add(encodeJPEG(f, small, jpegn.EncodeOptions{Exif: exif(6)}), uint32(0))
	f.Add(encodePNG(f, small), uint32(0x1234))
	f.Add(encodeGIF(f, &gif.GIF{Image: []*image.Paletted{image.NewPaletted(image.Rect(1, 1, 9, 9), color.Palette{red, blue})}, Delay: []int{0}}), uint32(0x77))
	files, err := filepath.Glob("testdata/*.*")
	if err != nil || len(files) == 0 {
		f.Fatal(err, files)
	}
	for i, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, uint32(i*0x01020304))
	}
	limits := raster.DefaultLimits()
	limits.Pixels, limits.OutPixels, limits.FileBytes = 1<<16, 1<<16, 1<<16
	e := engine().Limited(limits)
	f.Fuzz(func(t *testing.T, data []byte, options uint32) {
		host := &taskstest.Host{Budget: 64 << 20}
		out, err := resizeOn(t.Context(), host, e, data, options64(options))
		if now, _ := host.Reserved(); now != 0 {
			t.Errorf("left %d bytes reserved", now)
		}
		if err != nil {
			if !codeOf(err).Permanent() || out.data != nil {
				t.Errorf("Resize: %v, code %q, want a permanent one and no output", err, codeOf(err))
			}
			return
		}
		m, err := decodeWith(out.Format, out.data)
		if err != nil || m.Bounds().Size() != image.Pt(out.Width, out.Height) {
			t.Errorf("the output: %v, %+v", err, out.ResizeResult)
		}
	})
}

// options64 spreads the bits of a number over the params; every combination is one that Validate lets through.
func options64(bits uint32) tasks.ResizeParams {
	take := func(n uint32) int {
		v := bits % n
		bits /= n
		return int(v)
	}
	return params(func(p *tasks.ResizeParams) {
		p.Format = []string{"", tasks.JPEG, tasks.PNG, tasks.GIF, tasks.WebP, tasks.TIFF}[take(6)]
		p.Fit = []string{tasks.Inside, tasks.Outside, tasks.Cover, tasks.Contain, tasks.Fill}[take(5)]
		p.Width, p.Height = []int{0, 1, 7, 64}[take(4)], []int{0, 1, 9, 50}[take(4)]
		p.Enlarge, p.Strip, p.AutoOrient, p.Grayscale = take(2) == 0, take(2) == 0, take(2) == 0, take(3) == 0
		p.Rotate = float64(90 * take(4))
		p.Flip, p.Flop = take(2) == 0, take(2) == 0
		p.Quality = []int{80, 95}[take(2)]
		p.Blur, p.Sharpen = []float64{0, 1, 30}[take(3)], []float64{0, 1}[take(2)]
		if take(3) == 0 {
			p.Crop = &tasks.Crop{X: take(3), Y: take(3), Width: 1 + take(9), Height: 1 + take(9)}
		}
		if err := p.Validate(); err != nil {
			panic(err)
		}
	})
}
