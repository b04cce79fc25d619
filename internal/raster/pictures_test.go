package raster_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"math"
	"os"
	"sync"
	"testing"

	"github.com/gen2brain/avif"
	"github.com/gen2brain/jpegn"
	"github.com/gen2brain/webp"
	"golang.org/x/image/tiff"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/raster"
	"github.com/millrace/millrace/tasks"
	"github.com/millrace/millrace/tasks/taskstest"
)

// engine is one for all tests, because the codecs of WebP and AVIF are translated once for each.
var engine = sync.OnceValue(raster.New)

// params are the defaults of image.resize, changed.
func params(change func(*tasks.ResizeParams)) tasks.ResizeParams {
	p := tasks.Resize().Defaults
	if change != nil {
		change(&p)
	}
	return p
}

// output is what a resize left behind.
type output struct {
	tasks.ResizeResult
	extension string
	data      []byte
	host      *taskstest.Host
}

func resize(ctx context.Context, e *raster.Engine, data []byte, p tasks.ResizeParams) (output, error) {
	host := new(taskstest.Host)
	return resizeOn(ctx, host, e, data, p)
}

func resizeOn(ctx context.Context, host *taskstest.Host, e *raster.Engine, data []byte, p tasks.ResizeParams) (output, error) {
	call := host.Call(taskstest.Input{Name: "in", Data: data})
	var extension string
	result, err := e.Resize(ctx, call, p, func(_, e string) (io.WriteCloser, error) {
		extension = e
		return call.Create(ctx, "out")
	})
	return output{result, extension, host.Outputs()["out"], host}, err
}

// mustResize resizes and decodes the output with the standard decoders, which know nothing of ours.
func mustResize(t testing.TB, data []byte, p tasks.ResizeParams) (image.Image, output) {
	t.Helper()
	out, err := resize(t.Context(), engine(), data, p)
	if err != nil {
		t.Fatalf("Resize: %v", err)
	}
	return decodeOutput(t, out), out
}

func decodeOutput(t testing.TB, out output) image.Image {
	t.Helper()
	if now, _ := out.host.Reserved(); now != 0 {
		t.Errorf("left %d bytes reserved", now)
	}
	m, err := decodeWith(out.Format, out.data)
	if err != nil {
		t.Fatalf("decode the %s: %v", out.Format, err)
	}
	if got := m.Bounds().Size(); got != image.Pt(out.Width, out.Height) {
		t.Errorf("result says %d × %d, the picture is %v", out.Width, out.Height, got)
	}
	return m
}

// decodeWith decodes a picture, or the first frame of a film, by other people's decoders.
func decodeWith(format string, data []byte) (image.Image, error) {
	r := bytes.NewReader(data)
	switch format {
	case "jpeg":
		return jpeg.Decode(r)
	case "png":
		return png.Decode(r)
	case "gif":
		return gif.Decode(r)
	case "webp":
		film, err := webp.DecodeAll(r)
		if err != nil || len(film.Image) == 0 {
			return nil, fmt.Errorf("%v, no frames", err)
		}
		return film.Image[0], nil
	case "avif":
		return avif.Decode(r)
	case "tiff":
		return tiff.Decode(r)
	}
	return nil, fmt.Errorf("format %q", format)
}

func codeOf(err error) millrace.Code {
	if e, ok := errors.AsType[*millrace.Error](err); ok {
		return e.Code
	}
	return ""
}

var (
	red    = color.NRGBA{220, 20, 20, 255}
	green  = color.NRGBA{20, 200, 20, 255}
	blue   = color.NRGBA{20, 20, 220, 255}
	yellow = color.NRGBA{230, 220, 20, 255}
)

// quadrants is a picture whose corners are red, green, blue and yellow, in reading order.
func quadrants(w, h int) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := [2][2]color.NRGBA{{red, green}, {blue, yellow}}
			m.SetNRGBA(x, y, c[2*y/h][2*x/w])
		}
	}
	return m
}

// scene is a picture with something of everything: gradients, edges at all angles, and texture.
func scene(w, h int) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	seed := uint32(1)
	for y := range h {
		for x := range w {
			fx, fy := float64(x)/float64(w), float64(y)/float64(h)
			seed = seed*1664525 + 1013904223
			noise := float64(seed>>24)/32 - 4
			wave := 40 * math.Sin(60*fx*fx+25*fy)
			c := [3]float64{60 + 150*fx + wave, 200 - 120*fy - wave/2, 90 + 90*math.Sin(7*fx*fy*math.Pi)}
			if d := math.Hypot(fx-0.6, (fy-0.5)*float64(h)/float64(w)); d < 0.15 {
				c = [3]float64{230 - 500*d, 70, 60 + 600*d}
			}
			p := m.Pix[m.PixOffset(x, y):]
			for i := range 3 {
				p[i] = byte(max(0, min(255, c[i]+noise)))
			}
			p[3] = 255
		}
	}
	return m
}

func encodeJPEG(t testing.TB, m image.Image, o jpegn.EncodeOptions) []byte {
	t.Helper()
	var b bytes.Buffer
	o.Quality = 95
	if err := jpegn.Encode(&b, m, &o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func encodePNG(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func encodeGIF(t testing.TB, g *gif.GIF) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := gif.EncodeAll(&b, g); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// exif is a block with an orientation, and a maker's name that must not get out.
func exif(orientation uint16) []byte {
	b := []byte("Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x02")
	b = append(b, 0x01, 0x0F, 0, 2, 0, 0, 0, 12, 0, 0, 0, 38)
	b = append(b, 0x01, 0x12, 0, 3, 0, 0, 0, 1)
	b = binary.BigEndian.AppendUint16(b, orientation)
	b = append(b, 0, 0, 0, 0, 0, 0)
	return append(b, "SECRET-1234\x00"...)
}

// withChunk puts a chunk behind a PNG's IHDR.
func withChunk(data []byte, kind string, body []byte) []byte {
	chunk := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	chunk = append(append(chunk, kind...), body...)
	chunk = binary.BigEndian.AppendUint32(chunk, crc32.ChecksumIEEE(chunk[4:]))
	return bytes.Join([][]byte{data[:33], chunk, data[33:]}, nil)
}

// near says whether the pixel at a fraction of both sides has a colour, give or take.
func near(m image.Image, fx, fy float64, want color.NRGBA, tolerance int) bool {
	size := m.Bounds().Size()
	x, y := min(size.X-1, int(fx*float64(size.X))), min(size.Y-1, int(fy*float64(size.Y)))
	got := color.NRGBAModel.Convert(m.At(x, y)).(color.NRGBA)
	off := func(a, b byte) int { return max(int(a)-int(b), int(b)-int(a)) }
	return max(off(got.R, want.R), off(got.G, want.G), off(got.B, want.B), off(got.A, want.A)) <= tolerance
}

func wantCorners(t *testing.T, m image.Image, c [4]color.NRGBA, tolerance int) {
	t.Helper()
	for i, at := range [4][2]float64{{0.1, 0.1}, {0.9, 0.1}, {0.1, 0.9}, {0.9, 0.9}} {
		if !near(m, at[0], at[1], c[i], tolerance) {
			b := m.Bounds().Size()
			t.Errorf("corner %d is %v, want %v", i, m.At(int(at[0]*float64(b.X)), int(at[1]*float64(b.Y))), c[i])
		}
	}
}

// luma is the brightness of a pixel.
func luma(m image.Image, x, y int) float64 {
	r, g, b, _ := m.At(x, y).RGBA()
	return (0.299*float64(r) + 0.587*float64(g) + 0.114*float64(b)) / 257
}

func lumas(m image.Image) []float64 {
	size := m.Bounds().Size()
	out := make([]float64, 0, size.X*size.Y)
	if c, ok := m.(*image.YCbCr); ok {
		for y := range size.Y {
			for _, v := range c.Y[y*c.YStride:][:size.X] {
				out = append(out, float64(v))
			}
		}
		return out
	}
	for y := range size.Y {
		for x := range size.X {
			out = append(out, luma(m, x, y))
		}
	}
	return out
}

// ssim is the structural similarity of two pictures' brightness, in windows of 8 × 8.
func ssim(a, b image.Image) float64 {
	size := a.Bounds().Size()
	if b.Bounds().Size() != size {
		return 0
	}
	return ssimOf(lumas(a), lumas(b), size.X, size.Y)
}

func ssimOf(la, lb []float64, w, h int) float64 {
	const win, c1, c2 = 8, 6.5025, 58.5225
	total, n := 0.0, 0
	for y := 0; y+win <= h; y += 4 {
		for x := 0; x+win <= w; x += 4 {
			var sa, sb, saa, sbb, sab float64
			for dy := range win {
				row := (y+dy)*w + x
				for dx := range win {
					va, vb := la[row+dx], lb[row+dx]
					sa, sb, saa, sbb, sab = sa+va, sb+vb, saa+va*va, sbb+vb*vb, sab+va*vb
				}
			}
			const k = win * win
			ma, mb := sa/k, sb/k
			va, vb, cov := saa/k-ma*ma, sbb/k-mb*mb, sab/k-ma*mb
			total += (2*ma*mb + c1) * (2*cov + c2) / ((ma*ma + mb*mb + c1) * (va + vb + c2))
			n++
		}
	}
	return total / float64(n)
}
