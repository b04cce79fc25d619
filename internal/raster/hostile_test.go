package raster_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"io"
	"strings"
	"testing"

	"github.com/gen2brain/jpegn"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/raster"
	"github.com/millrace/millrace/tasks"
	"github.com/millrace/millrace/tasks/taskstest"
)

// declare makes a PNG that says it has w × h pixels and has none.
func declare(w, h uint32) []byte {
	b := []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR")
	b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, w), h)
	b = append(b, 8, 6, 0, 0, 0)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[12:]))
}

// patch overwrites the frame header of a JPEG: the byte at an offset behind its marker.
func patch(data []byte, marker byte, offset int, with ...byte) []byte {
	out := bytes.Clone(data)
	at := bytes.Index(out, []byte{0xFF, 0xC0})
	out[at+1] = marker
	copy(out[at+offset:], with)
	return out
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	photo := encodeJPEG(t, scene(200, 150), jpegn.EncodeOptions{Subsampling: jpegn.Subsample420})
	picture := encodePNG(t, scene(200, 150))
	frame := image.NewPaletted(image.Rect(0, 0, 1, 1), color.Palette{red, blue})
	var frames []*image.Paletted
	for range 501 {
		frames = append(frames, frame)
	}
	many := encodeGIF(t, &gif.GIF{Image: frames, Delay: make([]int, 501)})
	falseEnd := append(bytes.Clone(photo[:bytes.Index(photo, []byte{0xFF, 0xDA})+60]), 0xFF, 0xD9)
	scans := bytes.Replace(photo, []byte{0xFF, 0xD9}, append(bytes.Repeat([]byte{0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0}, 120), 0xFF, 0xD9), 1)

	for _, tt := range []struct {
		name string
		data []byte
		code millrace.Code
	}{
		{"nothing", nil, millrace.CodeUnsupportedFormat},
		{"text", []byte("Dear Sir or Madam, this is not a picture at all."), millrace.CodeUnsupportedFormat},
		{"svg", []byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`), millrace.CodeUnsupportedFormat},
		{"pdf", []byte("%PDF-1.7"), millrace.CodeUnsupportedFormat},
		{"postscript", []byte("%!PS-Adobe-3.0"), millrace.CodeUnsupportedFormat},
		{"bmp", []byte("BM\x46\x00\x00\x00\x00\x00\x00\x00"), millrace.CodeUnsupportedFormat},
		{"ico", []byte("\x00\x00\x01\x00\x01\x00"), millrace.CodeUnsupportedFormat},
		{"heic", []byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"), millrace.CodeUnsupportedFormat},
		{"script", []byte("#!/bin/sh\necho hello\n"), millrace.CodeUnsupportedFormat},
		{"tiff signature", []byte("II*\x00\x08\x00\x00\x00"), millrace.CodeCorrupt},
		{"avif signature", []byte("\x00\x00\x00\x10ftypavif\x00\x00\x00\x00"), millrace.CodeCorrupt},
		{"animated webp cut", readFile(t, "testdata/animated.webp")[:190], millrace.CodeCorrupt},
		{"arithmetic jpeg", patch(photo, 0xC9, 0), millrace.CodeUnsupportedFormat},
		{"lossless jpeg", patch(photo, 0xC3, 0), millrace.CodeUnsupportedFormat},
		{"jpeg of 12 bits", patch(photo, 0xC1, 4, 12), millrace.CodeUnsupportedFormat},
		{"png signature", picture[:8], millrace.CodeCorrupt},
		{"jpeg signature", photo[:3], millrace.CodeCorrupt},
		{"gif signature", []byte("GIF89a"), millrace.CodeCorrupt},
		{"jpeg cut in its header", photo[:100], millrace.CodeCorrupt},
		{"jpeg cut in its data", photo[:len(photo)*2/3], millrace.CodeCorrupt},
		{"jpeg without its end", photo[:len(photo)-2], millrace.CodeCorrupt},
		{"jpeg with a false end", falseEnd, millrace.CodeCorrupt},
		{"jpeg without height", patch(photo, 0xC0, 5, 0, 0), millrace.CodeCorrupt},
		{"progressive cut", readFile(t, "testdata/progressive.jpg")[:400], millrace.CodeCorrupt},
		{"png cut", picture[:len(picture)/2], millrace.CodeCorrupt},
		{"png with a wrong bit", flip(picture, len(picture)/2), millrace.CodeCorrupt},
		{"png without width", declare(0, 10), millrace.CodeCorrupt},
		{"gif cut", many[:len(many)-1], millrace.CodeCorrupt},
		{"webp cut", readFile(t, "testdata/lossy.webp")[:90], millrace.CodeCorrupt},
		{"lossless webp cut", readFile(t, "testdata/lossless.webp")[:60], millrace.CodeCorrupt},
		{"png of 2.5 gigapixels", declare(50000, 50000), millrace.CodeTooLarge},
		{"png of 4 billion columns", declare(1<<31-1, 1), millrace.CodeTooLarge},
		{"jpeg of 2.5 gigapixels", patch(photo, 0xC0, 5, 0xC3, 0x50, 0xC3, 0x50), millrace.CodeTooLarge},
		{"gif with a huge canvas", []byte("GIF89a\xff\xff\xff\xff\x00\x00\x00;"), millrace.CodeTooLarge},
		{"webp with a huge canvas", []byte("RIFF\x16\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00\xff\x3f\x00\xff\x3f\x00"), millrace.CodeTooLarge},
		{"jpeg with many scans", scans, millrace.CodeTooLarge},
		{"gif with many frames", many, millrace.CodeTooManyFrames},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out, err := resize(t.Context(), raster.New(), tt.data, params(nil))
			if codeOf(err) != tt.code {
				t.Fatalf("Resize = %v, want %s", err, tt.code)
			}
			e, _ := errors.AsType[*millrace.Error](err)
			if e.Kind != millrace.Invalid || !strings.Contains(e.Detail, " ") || strings.Contains(e.Detail, "png:") {
				t.Errorf("kind %v, detail %q", e.Kind, e.Detail)
			}
			now, peak := out.host.Reserved()
			if now != 0 || out.data != nil {
				t.Errorf("left %d bytes reserved and an output of %d bytes", now, len(out.data))
			}
			if tt.code == millrace.CodeTooLarge && peak != 0 {
				t.Errorf("reserved %d bytes for what its header refuses", peak)
			}
		})
	}
}

func flip(data []byte, at int) []byte {
	out := bytes.Clone(data)
	out[at] ^= 0x10
	return out
}

// TestTheFirstOfManyFrames: the limit on an animation is one on animated outputs.
func TestTheFirstOfManyFrames(t *testing.T) {
	t.Parallel()
	var frames []*image.Paletted
	for range 501 {
		frames = append(frames, image.NewPaletted(image.Rect(0, 0, 2, 2), color.Palette{red, blue}))
	}
	data := encodeGIF(t, &gif.GIF{Image: frames, Delay: make([]int, 501)})
	m, out := mustResize(t, data, params(func(p *tasks.ResizeParams) { p.Format = tasks.PNG }))
	if out.Source.Frames != 501 || !near(m, 0, 0, red, 0) {
		t.Errorf("%+v, %v", out.ResizeResult, m.At(0, 0))
	}
}

func TestLimitsOfTheOutput(t *testing.T) {
	t.Parallel()
	limits := raster.DefaultLimits()
	limits.OutSide, limits.OutPixels = 1000, 500000
	e := raster.NewLimited(limits)
	data := encodePNG(t, image.NewGray(image.Rect(0, 0, 2000, 10)))
	for _, tt := range []struct {
		name   string
		change func(*tasks.ResizeParams)
		code   millrace.Code
	}{
		{"as long as it was", nil, ""},
		{"enlarged beyond the side", func(p *tasks.ResizeParams) { p.Width, p.Enlarge = 2001, true }, millrace.CodeTooLarge},
		{"enlarged beyond the pixels", func(p *tasks.ResizeParams) { p.Width, p.Height, p.Fit = 900, 900, tasks.Contain }, millrace.CodeTooLarge},
		{"crop beyond the picture", func(p *tasks.ResizeParams) { p.Crop = &tasks.Crop{X: 1990, Width: 20, Height: 5} }, millrace.CodeInvalidInput},
	} {
		out, err := resize(t.Context(), e, data, params(tt.change))
		if codeOf(err) != tt.code {
			t.Errorf("%s: %v, want code %q", tt.name, err, tt.code)
		}
		if _, peak := out.host.Reserved(); tt.code != "" && peak != 0 {
			t.Errorf("%s: reserved %d bytes before refusing", tt.name, peak)
		}
	}
	limits.FileBytes = 50
	if _, err := resize(t.Context(), raster.NewLimited(limits), data, params(nil)); codeOf(err) != millrace.CodeTooLarge {
		t.Errorf("a file of %d bytes where 50 are allowed: %v", len(data), err)
	}
}

// TestMemoryIsReservedFirst gives a budget that the header already exceeds: nothing may be decoded then, so the damage is never seen.
func TestMemoryIsReservedFirst(t *testing.T) {
	t.Parallel()
	whole := encodePNG(t, image.NewRGBA(image.Rect(0, 0, 2000, 1500)))
	host := &taskstest.Host{Budget: 16 << 20}
	_, err := resizeOn(t.Context(), host, raster.New(), whole[:len(whole)/2], params(nil))
	if codeOf(err) != millrace.CodeTooLarge {
		t.Errorf("beyond the budget: %v, want too_large", err)
	}
	host = &taskstest.Host{Budget: 1 << 30}
	if _, err = resizeOn(t.Context(), host, raster.New(), whole, params(func(p *tasks.ResizeParams) { p.Width = 100 })); err != nil {
		t.Error(err)
	}
	now, peak := host.Reserved()
	if now != 0 || peak < 2000*1500*4 {
		t.Errorf("reserved %d at most and %d at the end", peak, now)
	}
}

func TestBombsInMetadata(t *testing.T) {
	t.Parallel()
	bomb := append([]byte("x\x00\x00"), deflated(t, 64<<20)...)
	for _, kind := range []string{"iCCP", "zTXt"} {
		data := withChunk(encodePNG(t, quadrants(8, 8)), kind, bomb)
		m, _ := mustResize(t, data, params(nil))
		wantCorners(t, m, [4]color.NRGBA{red, green, blue, yellow}, 0)
	}
}

func TestPolyglot(t *testing.T) {
	t.Parallel()
	tail := []byte("PK\x03\x04<?php system('hello'); ?>")
	comment := append([]byte{0xFF, 0xFE, 0, byte(2 + len(tail))}, tail...)
	jpg := encodeJPEG(t, quadrants(64, 64), jpegn.EncodeOptions{})
	jpg = bytes.Join([][]byte{jpg[:2], comment, jpg[2:], tail}, nil)
	pic := append(withChunk(encodePNG(t, quadrants(64, 64)), "tEXt", tail), tail...)
	for _, data := range [][]byte{jpg, pic} {
		for _, strip := range []bool{true, false} {
			_, out := mustResize(t, data, params(func(p *tasks.ResizeParams) { p.Strip = strip }))
			if bytes.Contains(out.data, []byte("php")) {
				t.Errorf("strip %v: a %s carries the tail of its input", strip, out.Format)
			}
		}
	}
}

// TestCancel ends the context at every look that the engine takes at its input, and between its steps.
func TestCancel(t *testing.T) {
	t.Parallel()
	errStop := errors.New("stopped by the test")
	pictures := map[string][]byte{
		"jpeg": encodeJPEG(t, scene(300, 200), jpegn.EncodeOptions{}), "png": encodePNG(t, scene(160, 120)), "cmyk": readFile(t, "testdata/cmyk.jpg"),
		"film": patchwork(t), "tiff": encodeTIFF(t, scene(160, 120)),
	}
	for name, data := range pictures {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for stop := 1; ; stop++ {
				ctx, cancel := context.WithCancelCause(t.Context())
				host := &stopHost{Host: new(taskstest.Host), left: stop, stop: func() { cancel(errStop) }}
				call := host.Call(taskstest.Input{Name: "in", Data: data})
				call = tasks.NewCall(host, call.Inputs())
				_, err := engine().Resize(ctx, call, params(func(p *tasks.ResizeParams) { p.Width, p.Blur = 80, 1 }), func(string, string) (io.WriteCloser, error) {
					return call.Create(ctx, "out")
				})
				cancel(nil)
				if now, _ := host.Reserved(); now != 0 {
					t.Fatalf("stopped at %d: %d bytes reserved", stop, now)
				}
				if host.left > 0 {
					if err != nil || len(host.Outputs()) != 1 {
						t.Fatalf("never stopped: %v", err)
					}
					if stop < 6 {
						t.Fatalf("only %d looks at the context", stop)
					}
					return
				}
				if !errors.Is(err, errStop) && !host.done {
					t.Fatalf("stopped at %d: %v, want the context's cause", stop, err)
				}
			}
		})
	}
}

// stopHost ends the context at the n-th event: a progress report or a reservation.
type stopHost struct {
	*taskstest.Host
	left int
	stop func()
	done bool // the last report was the one of completion
}

func (h *stopHost) tick() {
	if h.left--; h.left == 0 {
		h.stop()
	}
}

func (h *stopHost) Progress(p millrace.Progress) {
	h.done = p.Done == p.Total
	h.tick()
}

func (h *stopHost) Reserve(ctx context.Context, n int64) (func(), error) {
	h.tick()
	return h.Host.Reserve(ctx, n)
}

// TestABrokenStoreIsNotABrokenPicture: what fails to be read is tried again, not given up.
func TestABrokenStoreIsNotABrokenPicture(t *testing.T) {
	t.Parallel()
	for name, data := range map[string][]byte{"jpeg": encodeJPEG(t, scene(900, 700), jpegn.EncodeOptions{}), "png": encodePNG(t, scene(400, 300))} {
		for _, after := range []int{0, 1, 3} {
			host := &brokenHost{Host: new(taskstest.Host), after: after}
			call := tasks.NewCall(host, host.Call(taskstest.Input{Name: "in", Data: data}).Inputs())
			_, err := raster.New().Resize(t.Context(), call, params(nil), func(string, string) (io.WriteCloser, error) { return call.Create(t.Context(), "out") })
			if !errors.Is(err, io.ErrUnexpectedEOF) || codeOf(err) != "" {
				t.Errorf("%s, broken after %d reads: %v, want the store's error", name, after, err)
			}
		}
	}
}

type brokenHost struct {
	*taskstest.Host
	after int
}

func (h *brokenHost) Open(ctx context.Context, f millrace.File) (tasks.InputFile, error) {
	in, err := h.Host.Open(ctx, f)
	return &brokenInput{in, h.after}, err
}

type brokenInput struct {
	tasks.InputFile
	left int
}

func (b *brokenInput) Read(p []byte) (int, error) {
	if b.left--; b.left < 0 {
		return 0, io.ErrUnexpectedEOF
	}
	return b.InputFile.Read(p[:min(len(p), 4096)])
}
