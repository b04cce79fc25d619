package raster_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"strings"
	"testing"

	"github.com/gen2brain/jpegn"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/raster"
	"github.com/millrace/millrace/tasks"
	"github.com/millrace/millrace/tasks/taskstest"
)

// variant is one of several outputs, with the defaults changed.
func variant(name string, change func(*tasks.ResizeParams)) tasks.Variant {
	return tasks.Variant{Name: name, ResizeParams: params(change)}
}

// resizeAll makes variants. The outputs are called as the engine asked, extension and all.
func resizeAll(ctx context.Context, host *taskstest.Host, e *raster.Engine, data []byte, variants ...tasks.Variant) (tasks.ResizeResult, error) {
	call := host.Call(taskstest.Input{Name: "in", Data: data})
	p := params(func(p *tasks.ResizeParams) { p.Variants = variants })
	return e.Resize(ctx, call, p, func(name, extension string) (io.WriteCloser, error) { return call.Create(ctx, name+"|"+extension) })
}

func TestVariants(t *testing.T) {
	t.Parallel()
	pictures := map[string][]byte{
		"png":  encodePNG(t, quadrants(400, 200)),
		"jpeg": encodeJPEG(t, lay(quadrants(400, 200), 6), jpegn.EncodeOptions{Exif: exif(6)}),
	}
	for format, data := range pictures {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			host := new(taskstest.Host)
			result, err := resizeAll(t.Context(), host, raster.New(), data,
				variant("thumb", func(p *tasks.ResizeParams) { p.Width, p.Height, p.Fit, p.Format = 20, 20, tasks.Cover, tasks.JPEG }),
				variant("page.png", func(p *tasks.ResizeParams) { p.Width, p.Format = 200, tasks.PNG }),
				variant("turned", func(p *tasks.ResizeParams) { p.Width, p.Rotate, p.Format = 50, 180, tasks.PNG }),
				variant("whole", nil))
			if err != nil {
				t.Fatal(err)
			}
			if now, _ := host.Reserved(); now != 0 || result.Rendered != nil || result.Source != (tasks.Source{Width: 400, Height: 200, Format: format}) {
				t.Errorf("%+v, %d bytes reserved", result, now)
			}
			whole := "whole|" + strings.Replace(format, "jpeg", "jpg", 1)
			outputs := host.Outputs()
			for i, want := range []struct {
				output, format string
				size           image.Point
			}{{"thumb|jpg", "jpeg", image.Pt(20, 20)}, {"page.png|png", "png", image.Pt(200, 100)}, {"turned|png", "png", image.Pt(50, 25)}, {whole, format, image.Pt(400, 200)}} {
				got, data := result.Variants[i], outputs[want.output]
				if got.Name+"|" != want.output[:len(got.Name)+1] || got.Format != want.format || got.Width != want.size.X || got.Height != want.size.Y || got.Bytes != int64(len(data)) {
					t.Errorf("variant %d is %+v with %d bytes, want %+v", i, got, len(data), want)
				}
				m := decodeAs(t, want.format, data)
				corners := [4]int{0, 1, 2, 3}
				if got.Name == "turned" {
					corners = [4]int{3, 2, 1, 0}
				}
				if m.Bounds().Size() != want.size {
					t.Errorf("%s is %v, want %v", got.Name, m.Bounds().Size(), want.size)
				}
				wantQuadrants(t, m, corners, 30)
			}
			if len(outputs) != 4 {
				t.Errorf("%d outputs, want 4", len(outputs))
			}
		})
	}
}

func decodeAs(t *testing.T, format string, data []byte) image.Image {
	t.Helper()
	decode := jpeg.Decode
	if format == tasks.PNG {
		decode = png.Decode
	}
	m, err := decode(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("decode the %s: %v", format, err)
	}
	return m
}

// wantQuadrants wants the four colours of quadrants in the order that corners gives.
func wantQuadrants(t *testing.T, m image.Image, corners [4]int, tolerance int) {
	t.Helper()
	colors := [4]color.NRGBA{red, green, blue, yellow}
	wantCorners(t, m, [4]color.NRGBA{colors[corners[0]], colors[corners[1]], colors[corners[2]], colors[corners[3]]}, tolerance)
}

// TestVariantsComeFromTheSource: a variant is the same picture, bit for bit, whatever stands beside it and in whatever order; and the one that a job
// of its own makes, but for the smallest, which are made of averages.
func TestVariantsComeFromTheSource(t *testing.T) {
	t.Parallel()
	data := encodePNG(t, scene(301, 203))
	sizes := []int{250, 100, 33}
	alone := make(map[int][]byte)
	for _, width := range sizes[:2] {
		_, out := mustResize(t, data, params(func(p *tasks.ResizeParams) { p.Width = width }))
		alone[width] = out.data
	}
	for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 0, 2}} {
		var variants []tasks.Variant
		for _, i := range order {
			variants = append(variants, variant(fmt.Sprint(sizes[i]), func(p *tasks.ResizeParams) { p.Width = sizes[i] }))
		}
		host := new(taskstest.Host)
		if _, err := resizeAll(t.Context(), host, raster.New(), data, variants...); err != nil {
			t.Fatal(err)
		}
		for _, width := range sizes {
			got := host.Outputs()[fmt.Sprintf("%d|png", width)]
			if alone[width] == nil {
				alone[width] = got
			}
			if !bytes.Equal(got, alone[width]) {
				t.Errorf("in order %v the variant of %d pixels is another one", order, width)
			}
		}
	}
	m, _ := mustResize(t, data, params(func(p *tasks.ResizeParams) { p.Width = 33 }))
	if small := decodeAs(t, tasks.PNG, alone[33]); ssim(m, small) < 0.99 {
		t.Errorf("the smallest one: SSIM %.4f against a job of its own", ssim(m, small))
	}
}

// TestSharpVariants: one decode must be as large as the largest variant needs it.
func TestSharpVariants(t *testing.T) {
	t.Parallel()
	src := scene(1600, 1200)
	data := encodeJPEG(t, src, jpegn.EncodeOptions{Subsampling: jpegn.Subsample420})
	_, alone := mustResize(t, data, params(func(p *tasks.ResizeParams) { p.Width = 1500 }))
	host := new(taskstest.Host)
	_, err := resizeAll(t.Context(), host, raster.New(), data,
		variant("small", func(p *tasks.ResizeParams) { p.Width = 100 }), variant("large", func(p *tasks.ResizeParams) { p.Width = 1500 }))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(host.Outputs()["large|jpg"], alone.data) {
		t.Error("beside a thumbnail the large variant is another picture")
	}
}

// TestAVariantFailsTheJob: whichever it is, and before anything is decoded where the header tells.
func TestAVariantFailsTheJob(t *testing.T) {
	t.Parallel()
	limits := raster.DefaultLimits()
	limits.OutPixels = 100_000
	e := raster.NewLimited(limits)
	data := encodePNG(t, quadrants(400, 200))
	fine := variant("fine", func(p *tasks.ResizeParams) { p.Width = 40 })
	wide := variant("wide", func(p *tasks.ResizeParams) { p.Width, p.Height, p.Fit = 350, 300, tasks.Contain })
	var many []tasks.Variant
	for i := range 32 {
		many = append(many, variant(fmt.Sprint(i), func(p *tasks.ResizeParams) { p.Width, p.Height, p.Fit = 60, 60, tasks.Contain }))
	}
	for _, tt := range []struct {
		name     string
		variants []tasks.Variant
		code     millrace.Code
		says     string
	}{
		{"a crop beside the picture", []tasks.Variant{fine, variant("cut", func(p *tasks.ResizeParams) { p.Crop = &tasks.Crop{X: 399, Width: 2, Height: 1} })}, millrace.CodeInvalidInput, "variant cut"},
		{"one too large", []tasks.Variant{fine, wide}, millrace.CodeTooLarge, "variant wide"},
		{"too large together", many, millrace.CodeTooLarge, "0.1152 megapixels together"},
	} {
		host := new(taskstest.Host)
		_, err := resizeAll(t.Context(), host, e, data, tt.variants...)
		if codeOf(err) != tt.code || !strings.Contains(fmt.Sprint(err), tt.says) {
			t.Errorf("%s: %v, want %s and %q", tt.name, err, tt.code, tt.says)
		}
		if _, peak := host.Reserved(); peak != 0 || len(host.Outputs()) != 0 {
			t.Errorf("%s: reserved %d bytes and made %d outputs", tt.name, peak, len(host.Outputs()))
		}
	}
	// What breaks on the way ends the job, too.
	errFull := errors.New("disk full")
	call := new(taskstest.Host).Call(taskstest.Input{Name: "in", Data: data})
	p := params(func(p *tasks.ResizeParams) { p.Variants = []tasks.Variant{fine, variant("other", nil)} })
	_, err := raster.New().Resize(t.Context(), call, p, func(name, _ string) (io.WriteCloser, error) {
		if name == "other" {
			return nil, errFull
		}
		return call.Create(t.Context(), name)
	})
	if !errors.Is(err, errFull) {
		t.Errorf("%v, want the store's error", err)
	}
}
