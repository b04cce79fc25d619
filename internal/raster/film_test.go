package raster_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/gif"
	"slices"
	"testing"

	"github.com/gen2brain/webp"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/raster"
	"github.com/millrace/millrace/tasks"
	"github.com/millrace/millrace/tasks/taskstest"
)

// film is an animation as one sees it: whole frames, how long each is shown in milliseconds, and how often all of them are, 0 for ever.
type film struct {
	frames []*image.NRGBA
	delays []int
	plays  int
}

// patchwork is a GIF whose frames lie at odd places, have holes, and leave the canvas in each of the three ways.
func patchwork(t *testing.T) []byte {
	palette := color.Palette{color.NRGBA{}, red, green, blue, yellow}
	g := &gif.GIF{Config: image.Config{Width: 40, Height: 30, ColorModel: palette}, LoopCount: 3}
	for i, f := range []struct {
		rect     image.Rectangle
		disposal byte
	}{
		{image.Rect(0, 0, 40, 30), gif.DisposalNone}, {image.Rect(3, 5, 20, 17), gif.DisposalPrevious}, {image.Rect(10, 1, 33, 29), gif.DisposalBackground},
		{image.Rect(0, 0, 7, 7), 0}, {image.Rect(39, 29, 40, 30), gif.DisposalPrevious}, {image.Rect(1, 1, 39, 29), gif.DisposalNone},
	} {
		m := image.NewPaletted(f.rect, palette)
		for n := range m.Pix {
			m.Pix[n] = byte((n/(3+i) + i) % 5) // with holes
		}
		g.Image, g.Delay, g.Disposal = append(g.Image, m), append(g.Delay, 5*(i+1)), append(g.Disposal, f.disposal)
	}
	return encodeGIF(t, g)
}

// gifFilm composes a GIF in the plainest way.
func gifFilm(t *testing.T, data []byte) film {
	t.Helper()
	g, err := gif.DecodeAll(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	f := film{plays: g.LoopCount + 1}
	if g.LoopCount == 0 {
		f.plays = 0
	}
	canvas := image.NewNRGBA(image.Rect(0, 0, g.Config.Width, g.Config.Height))
	for i, m := range g.Image {
		before := &image.NRGBA{Pix: slices.Clone(canvas.Pix), Stride: canvas.Stride, Rect: canvas.Rect}
		draw.Draw(canvas, m.Rect, m, m.Rect.Min, draw.Over)
		f.frames = append(f.frames, &image.NRGBA{Pix: slices.Clone(canvas.Pix), Stride: canvas.Stride, Rect: canvas.Rect})
		f.delays = append(f.delays, 10*g.Delay[i])
		switch g.Disposal[i] {
		case gif.DisposalBackground:
			draw.Draw(canvas, m.Rect, image.Transparent, image.Point{}, draw.Src)
		case gif.DisposalPrevious:
			canvas = before
		}
	}
	return f
}

// webpFilm has the C library compose a WebP.
func webpFilm(t *testing.T, data []byte) film {
	t.Helper()
	w, err := webp.DecodeAll(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(data, []byte("ANIM"))
	f := film{delays: w.Delay, plays: int(binary.LittleEndian.Uint16(data[at+12:]))}
	for _, m := range w.Image {
		n := image.NewNRGBA(m.Bounds())
		draw.Draw(n, n.Rect, m, image.Point{}, draw.Src)
		f.frames = append(f.frames, n)
	}
	return f
}

func seen(t *testing.T, format string, data []byte) film {
	t.Helper()
	if format == tasks.GIF {
		return gifFilm(t, data)
	}
	return webpFilm(t, data)
}

// wantFilm compares frame by frame, pixel by pixel; what is transparent has no colour.
func wantFilm(t *testing.T, got, want film) {
	t.Helper()
	if len(got.frames) != len(want.frames) || !slices.Equal(got.delays, want.delays) || got.plays != want.plays {
		t.Fatalf("%d frames, delays %v, shown %d times, want %d, %v and %d", len(got.frames), got.delays, got.plays, len(want.frames), want.delays, want.plays)
	}
	for i := range want.frames {
		for p := 0; p < len(want.frames[i].Pix); p += 4 {
			g, w := [4]byte(got.frames[i].Pix[p:]), [4]byte(want.frames[i].Pix[p:])
			if g != w && (g[3] != 0 || w[3] != 0) {
				t.Fatalf("frame %d, pixel %d: %v, want %v", i, p/4, g, w)
			}
		}
	}
}

// TestFilmsKeepMoving sends a film from format to format and wants to see the same one each time.
func TestFilmsKeepMoving(t *testing.T) {
	t.Parallel()
	data := patchwork(t)
	want := gifFilm(t, data)
	if len(want.frames) != 6 || want.plays != 4 {
		t.Fatalf("the film has %d frames and is shown %d times", len(want.frames), want.plays)
	}
	for _, format := range []string{tasks.GIF, tasks.WebP, tasks.WebP, tasks.GIF} {
		out, err := resize(t.Context(), engine(), data, params(func(p *tasks.ResizeParams) { p.Format, p.Lossless = format, true }))
		if err != nil {
			t.Fatal(err)
		}
		if out.Format != format || out.Pages != 6 || out.Source.Frames != 6 || !out.HasAlpha || out.Bytes != int64(len(out.data)) {
			t.Errorf("%+v of %+v", out.Rendered, out.Source)
		}
		wantFilm(t, seen(t, format, out.data), want)
		data = out.data
	}
}

func TestFilmsAreResized(t *testing.T) {
	t.Parallel()
	whole := gifFilm(t, patchwork(t))
	for _, format := range []string{tasks.GIF, tasks.WebP} {
		out, err := resize(t.Context(), engine(), patchwork(t), params(func(p *tasks.ResizeParams) {
			p.Format, p.Width, p.Height, p.Fit, p.Lossless = format, 20, 15, tasks.Fill, true
		}))
		if err != nil {
			t.Fatal(err)
		}
		got := seen(t, format, out.data)
		if !slices.Equal(got.delays, whole.delays) || got.frames[0].Rect.Size() != image.Pt(20, 15) || out.Width != 20 || out.Height != 15 {
			t.Fatalf("%s: delays %v, %v", format, got.delays, got.frames[0].Rect)
		}
		for i, f := range whole.frames {
			still, _ := mustResize(t, encodePNG(t, f), params(func(p *tasks.ResizeParams) { p.Width, p.Height, p.Fit = 20, 15, tasks.Fill }))
			for n := range 300 {
				x, y := n%20, n/20
				w := color.NRGBAModel.Convert(still.At(x, y)).(color.NRGBA)
				g := got.frames[i].NRGBAAt(x, y)
				if format == tasks.GIF { // which knows no half transparency, and may run out of colours
					if (g.A == 255) != (w.A >= 128) {
						t.Fatalf("%s, frame %d at %d, %d: %v, want %v", format, i, x, y, g, w)
					}
					continue
				}
				if d := int(g.A) - int(w.A); d*d > 4 {
					t.Fatalf("%s, frame %d at %d, %d: %v, want %v", format, i, x, y, g, w)
				}
			}
		}
	}
}

func TestFramesAreChosen(t *testing.T) {
	t.Parallel()
	data := patchwork(t)
	whole := gifFilm(t, data)
	for _, tt := range []struct {
		frame, pages int
		format       string
		want         int // frames
	}{
		{0, 0, "", 6}, {0, 1, "", 1}, {2, 0, "", 4}, {2, 3, "", 3}, {5, 0, "", 1}, {4, 99, "", 2}, {3, 0, tasks.PNG, 1}, {3, 1, tasks.WebP, 1}, {0, 0, tasks.PNG, 1},
	} {
		t.Run(fmt.Sprintf("%+v", tt), func(t *testing.T) {
			t.Parallel()
			out, err := resize(t.Context(), engine(), data, params(func(p *tasks.ResizeParams) {
				p.Frame, p.Pages, p.Format, p.Lossless = tt.frame, tt.pages, tt.format, true
			}))
			if err != nil {
				t.Fatal(err)
			}
			if tt.want > 1 {
				wantFilm(t, gifFilm(t, out.data), film{whole.frames[tt.frame : tt.frame+tt.want], whole.delays[tt.frame : tt.frame+tt.want], whole.plays})
				return
			}
			still := image.NewNRGBA(whole.frames[0].Rect)
			draw.Draw(still, still.Rect, decodeOutput(t, out), image.Point{}, draw.Src)
			wantFilm(t, film{frames: []*image.NRGBA{still}}, film{frames: whole.frames[tt.frame : tt.frame+1]})
			if out.Pages != 0 {
				t.Errorf("a still has %d pages", out.Pages)
			}
		})
	}
}

func TestFramesThatAreNotThere(t *testing.T) {
	t.Parallel()
	moving, still := patchwork(t), encodePNG(t, quadrants(8, 8))
	for _, tt := range []struct {
		name   string
		data   []byte
		change func(*tasks.ResizeParams)
	}{
		{"beyond the last", moving, func(p *tasks.ResizeParams) { p.Frame = 6 }},
		{"beyond a still", still, func(p *tasks.ResizeParams) { p.Frame = 1 }},
		{"several in a PNG", moving, func(p *tasks.ResizeParams) { p.Pages, p.Format = 2, tasks.PNG }},
		{"several within bytes", moving, func(p *tasks.ResizeParams) { p.MaxBytes = 1000 }},
	} {
		if _, err := resize(t.Context(), engine(), tt.data, params(tt.change)); codeOf(err) != millrace.CodeInvalidInput {
			t.Errorf("%s: %v, want invalid_input", tt.name, err)
		}
	}
}

// TestFilmLimits holds films to limits on what is decoded, and on what would come out.
func TestFilmLimits(t *testing.T) {
	t.Parallel()
	limits := raster.DefaultLimits()
	limits.Frames, limits.FramePixels = 4, 5000
	e := engine().Limited(limits)
	for _, tt := range []struct {
		name   string
		change func(*tasks.ResizeParams)
		code   millrace.Code
	}{
		{"all", nil, millrace.CodeTooManyFrames},
		{"a late one", func(p *tasks.ResizeParams) { p.Frame, p.Format = 5, tasks.PNG }, millrace.CodeTooManyFrames},
		{"four", func(p *tasks.ResizeParams) { p.Pages = 4 }, ""},
		{"four, enlarged", func(p *tasks.ResizeParams) { p.Pages, p.Width, p.Enlarge = 4, 80, true }, millrace.CodeTooLarge},
		{"the first", func(p *tasks.ResizeParams) { p.Pages = 1 }, ""},
	} {
		out, err := resize(t.Context(), e, patchwork(t), params(tt.change))
		if codeOf(err) != tt.code {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.code)
		}
		if _, peak := out.host.Reserved(); tt.code != "" && peak != 0 {
			t.Errorf("%s: reserved %d bytes first", tt.name, peak)
		}
	}
}

// TestFilmAndStillOfOnePass makes films and stills of one source, each with the frames it asks for.
func TestFilmAndStillOfOnePass(t *testing.T) {
	t.Parallel()
	whole := gifFilm(t, patchwork(t))
	host := new(taskstest.Host)
	_, err := resizeAll(t.Context(), host, engine(), patchwork(t), variant("film", nil),
		variant("still", func(p *tasks.ResizeParams) { p.Frame, p.Format = 2, tasks.PNG }),
		variant("rest", func(p *tasks.ResizeParams) { p.Frame, p.Format, p.Lossless = 1, tasks.WebP, true }))
	if err != nil {
		t.Fatal(err)
	}
	wantFilm(t, gifFilm(t, host.Outputs()["film|gif"]), whole)
	wantFilm(t, webpFilm(t, host.Outputs()["rest|webp"]), film{whole.frames[1:], whole.delays[1:], whole.plays})
	m, err := decodeWith("png", host.Outputs()["still|png"])
	if err != nil {
		t.Fatal(err)
	}
	still := image.NewNRGBA(m.Bounds())
	draw.Draw(still, still.Rect, m, image.Point{}, draw.Src)
	wantFilm(t, film{frames: []*image.NRGBA{still}}, film{frames: whole.frames[2:3]})
}
