package raster_test

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"math"
	"testing"

	"github.com/gen2brain/avif"
	"github.com/gen2brain/jpegn"
	"golang.org/x/image/tiff"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/raster"
	"github.com/millrace/millrace/tasks"
)

func encodeTIFF(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := tiff.Encode(&b, m, &tiff.Options{Compression: tiff.Deflate}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func encodeAVIF(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := avif.Encode(&b, m, avif.Options{Quality: 95, QualityAlpha: 95, Speed: 10, ChromaSubsampling: image.YCbCrSubsampleRatio444}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// psnr compares what is seen of two pictures over white.
func psnr(a, b image.Image) float64 {
	size := a.Bounds().Size()
	if b.Bounds().Size() != size {
		return 0
	}
	over := func(c color.Color) [3]float64 {
		r, g, bl, al := c.RGBA()
		rest := 65535 - float64(al)
		return [3]float64{(float64(r) + rest) / 257, (float64(g) + rest) / 257, (float64(bl) + rest) / 257}
	}
	var sum float64
	for y := range size.Y {
		for x := range size.X {
			p, q := over(a.At(x, y)), over(b.At(x, y))
			for c := range p {
				sum += (p[c] - q[c]) * (p[c] - q[c])
			}
		}
	}
	return 10 * math.Log10(255*255/max(1e-9, sum/float64(3*size.X*size.Y)))
}

// veiled is a scene whose transparency grows from left to right.
func veiled(w, h int) *image.NRGBA {
	m := scene(w, h)
	out := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := color.NRGBAModel.Convert(m.At(x, y)).(color.NRGBA)
			c.A = byte(255 - 200*x/w)
			out.SetNRGBA(x, y, c)
		}
	}
	return out
}

// TestEveryFormatIntoEveryOther makes a picture in each format and has each other format made of it. The encoders and decoders on the test's
// side are other people's.
func TestEveryFormatIntoEveryOther(t *testing.T) {
	t.Parallel()
	plain, clear := scene(120, 90), veiled(120, 90)
	inputs := map[string]map[bool][]byte{
		tasks.PNG: {false: encodePNG(t, plain), true: encodePNG(t, clear)}, tasks.TIFF: {false: encodeTIFF(t, plain), true: encodeTIFF(t, clear)},
		tasks.AVIF: {false: encodeAVIF(t, plain), true: encodeAVIF(t, clear)},
	}
	for _, lossless := range []bool{false, true} {
		out, err := resize(t.Context(), engine(), inputs[tasks.PNG][lossless], params(func(p *tasks.ResizeParams) { p.Format, p.Lossless = tasks.WebP, true }))
		if err != nil {
			t.Fatal(err)
		}
		inputs["webp"] = map[bool][]byte{lossless: out.data}
	}
	least := map[string]float64{tasks.JPEG: 28, tasks.PNG: 36, tasks.TIFF: 36, tasks.WebP: 28, tasks.AVIF: 28, tasks.GIF: 18}
	for from, pictures := range inputs {
		for alpha, data := range pictures {
			want := image.Image(plain)
			if alpha {
				want = clear
			}
			for to, floor := range least {
				if to == tasks.GIF && alpha {
					continue // it knows no half transparency
				}
				t.Run(from+" to "+to, func(t *testing.T) {
					t.Parallel()
					m, out := mustResize(t, data, params(func(p *tasks.ResizeParams) { p.Format, p.Quality, p.Subsampling = to, 90, "auto" }))
					if got := psnr(want, m); got < floor {
						t.Errorf("transparency %v: %.1f dB, want %v", alpha, got, floor)
					}
					if out.Source.Format != from || out.Format != to || out.HasAlpha != (alpha && to != tasks.JPEG) {
						t.Errorf("%+v of %+v, transparency %v", out.Rendered, out.Source, alpha)
					}
				})
			}
		}
	}
}

func TestLosslessWebP(t *testing.T) {
	t.Parallel()
	src := veiled(97, 51)
	m, out := mustResize(t, encodePNG(t, src), params(func(p *tasks.ResizeParams) { p.Format, p.Lossless = tasks.WebP, true }))
	if got := psnr(src, m); got < 50 || out.Quality != 0 {
		t.Errorf("%.1f dB, quality %d", got, out.Quality)
	}
}

func TestQualityOfWebPAndAVIF(t *testing.T) {
	t.Parallel()
	data := encodePNG(t, scene(160, 120))
	for _, format := range []string{tasks.WebP, tasks.AVIF} {
		low, lowOut := mustResize(t, data, params(func(p *tasks.ResizeParams) { p.Format, p.Quality = format, 20 }))
		high, highOut := mustResize(t, data, params(func(p *tasks.ResizeParams) { p.Format, p.Quality = format, 90 }))
		_, usual := mustResize(t, data, params(func(p *tasks.ResizeParams) { p.Format = format }))
		if want := map[string]int{tasks.WebP: 80, tasks.AVIF: 50}[format]; usual.Quality != want || lowOut.Quality != 20 {
			t.Errorf("%s: quality %d and %d, want %d and 20", format, usual.Quality, lowOut.Quality, want)
		}
		if src := scene(160, 120); lowOut.Bytes >= highOut.Bytes || psnr(src, low) >= psnr(src, high) {
			t.Errorf("%s: %d bytes at 20 and %d at 90", format, lowOut.Bytes, highOut.Bytes)
		}
	}
}

func TestLimitsOfFormats(t *testing.T) {
	t.Parallel()
	limits := raster.DefaultLimits()
	limits.AVIFPixels = 1000
	e := engine().Limited(limits)
	wide := encodePNG(t, image.NewGray(image.Rect(0, 0, 16384, 2)))
	for _, tt := range []struct {
		format string
		code   millrace.Code
	}{{tasks.WebP, millrace.CodeTooLarge}, {tasks.AVIF, millrace.CodeTooLarge}, {tasks.JPEG, ""}, {tasks.TIFF, ""}, {tasks.GIF, ""}} {
		out, err := resize(t.Context(), e, wide, params(func(p *tasks.ResizeParams) { p.Format = tt.format }))
		if codeOf(err) != tt.code {
			t.Errorf("%s: %v, want %q", tt.format, err, tt.code)
		}
		if _, peak := out.host.Reserved(); tt.code != "" && peak != 0 {
			t.Errorf("%s: reserved %d bytes first", tt.format, peak)
		}
	}
}

// TestTurnedAVIF wants what the container says of turning, which its decoder leaves to the caller.
func TestTurnedAVIF(t *testing.T) {
	t.Parallel()
	upright := encodeAVIF(t, quadrants(64, 32))
	for name, tt := range map[string]struct {
		boxes []byte
		want  [4]color.NRGBA
		turn  bool
	}{
		"a quarter left": {box("irot", 1), [4]color.NRGBA{green, yellow, red, blue}, true}, "a half": {box("irot", 2), [4]color.NRGBA{yellow, blue, green, red}, false},
		"a quarter right": {box("irot", 3), [4]color.NRGBA{blue, red, yellow, green}, true},
		"top to bottom":   {box("imir", 0), [4]color.NRGBA{blue, yellow, red, green}, false},
		"left to right":   {box("imir", 1), [4]color.NRGBA{green, red, yellow, blue}, false},
		"both":            {append(box("irot", 1), box("imir", 0)...), [4]color.NRGBA{red, blue, green, yellow}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, orient := range []bool{true, false} { // it is no orientation of EXIF
				m, out := mustResize(t, withProperties(t, upright, tt.boxes), params(func(p *tasks.ResizeParams) { p.Format, p.AutoOrient = tasks.PNG, orient }))
				w, h := 64, 32
				if tt.turn {
					w, h = h, w
				}
				if out.Source.Width != w || out.Source.Height != h {
					t.Errorf("source %+v, want %d × %d", out.Source, w, h)
				}
				wantCorners(t, m, tt.want, 30)
			}
		})
	}
}

func box(name string, body ...byte) []byte {
	return append(append([]byte{0, 0, 0, byte(8 + len(body))}, name...), body...)
}

// withProperties adds properties to all items of an AVIF, behind those that they have.
func withProperties(t *testing.T, data, boxes []byte) []byte {
	t.Helper()
	out := bytes.Clone(data)
	grow := func(name string, n int) int {
		at := bytes.Index(out, []byte(name)) - 4
		if at < 0 {
			t.Fatalf("no box %s", name)
		}
		size := int(out[at+2])<<8 | int(out[at+3])
		out[at+2], out[at+3] = byte((size+n)>>8), byte(size+n)
		return at + size
	}
	count, properties := 0, 0
	for at := 0; at < len(boxes); at += int(boxes[at+3]) {
		count++
	}
	ipco := bytes.Index(out, []byte("ipco")) - 4
	for at := ipco + 8; at < ipco+(int(out[ipco+2])<<8|int(out[ipco+3])); at += int(out[at+2])<<8 | int(out[at+3]) {
		properties++
	}
	// One item: its list is the end of ipma.
	ipma := bytes.Index(out, []byte("ipma")) - 4
	out[ipma+18] += byte(count)
	at := grow("ipma", count)
	var indices []byte
	for i := range count {
		indices = append(indices, byte(0x80|(properties+1+i)))
	}
	out = append(out[:at:at], append(indices, out[at:]...)...)
	at = grow("ipco", len(boxes))
	out = append(out[:at:at], append(bytes.Clone(boxes), out[at:]...)...)
	grow("iprp", count+len(boxes))
	grow("meta", count+len(boxes))
	iloc := bytes.Index(out, []byte("iloc"))
	for i := len(out) - 8; i > iloc; i-- { // the one offset, behind iloc, moves with the picture
		if string(out[i:i+4]) == "mdat" {
			offset := i + 4
			old := offset - count - len(boxes)
			want := []byte{byte(old >> 24), byte(old >> 16), byte(old >> 8), byte(old)}
			p := bytes.Index(out[iloc:], want)
			if p < 0 {
				t.Fatal("no offset in iloc")
			}
			copy(out[iloc+p:], []byte{byte(offset >> 24), byte(offset >> 16), byte(offset >> 8), byte(offset)})
			return out
		}
	}
	t.Fatal("no mdat")
	return nil
}

func TestTruncatedCodecs(t *testing.T) {
	t.Parallel()
	for name, data := range map[string][]byte{"avif": encodeAVIF(t, scene(80, 60)), "tiff": encodeTIFF(t, scene(80, 60)), "film": patchwork(t)} {
		for _, part := range []int{10, 30, 50, 70, 90, 97} {
			_, err := resize(t.Context(), engine(), data[:len(data)*part/100], params(func(p *tasks.ResizeParams) { p.Format = tasks.PNG }))
			if codeOf(err) != millrace.CodeCorrupt {
				t.Errorf("%d%% of the %s: %v, want corrupt", part, name, err)
			}
		}
	}
}

// TestMetadataInEveryContainer follows a copyright and a profile from JPEG through the other containers that have a place for them, and back.
func TestMetadataInEveryContainer(t *testing.T) {
	t.Parallel()
	const owner = "(c) Somebody, 2026\x00"
	le := binary.LittleEndian
	block := append([]byte("Exif\x00\x00II*\x00\x08\x00\x00\x00\x02\x00"), 0x12, 1, 3, 0, 1, 0, 0, 0, 6, 0, 0, 0, 0x98, 0x82, 2, 0)
	block = le.AppendUint32(le.AppendUint32(le.AppendUint32(block, uint32(len(owner))), 38), 0)
	block = append(block, owner...)
	icc := profile("RGB ", sRGBCurve(), p3Primaries)
	data := encodeJPEG(t, lay(quadrants(64, 48), 6), jpegn.EncodeOptions{Subsampling: jpegn.Subsample444, Exif: block, Segments: iccSegment(icc)})
	for _, format := range []string{tasks.WebP, tasks.TIFF} {
		for _, strip := range []bool{false, true} {
			m, out := mustResize(t, data, params(func(p *tasks.ResizeParams) { p.Format, p.Strip, p.Lossless = format, strip, true }))
			for name, secret := range map[string][]byte{"copyright": []byte(owner), "profile": icc} {
				if bytes.Contains(out.data, secret) == strip {
					t.Errorf("%s, strip %v: the %s is there: %v", format, strip, name, !strip)
				}
			}
			if !strip {
				wantCorners(t, m, [4]color.NRGBA{red, green, blue, yellow}, 12)
			}
			back, jpg := mustResize(t, out.data, params(func(p *tasks.ResizeParams) { p.Format, p.Strip, p.Quality = tasks.JPEG, false, 95 }))
			if back.Bounds() != image.Rect(0, 0, 64, 48) || bytes.Contains(jpg.data, []byte(owner)) == strip || bytes.Contains(jpg.data, icc) == strip {
				t.Errorf("%s and back, strip %v: %v, copyright and profile %v and %v", format, strip, back.Bounds(),
					bytes.Contains(jpg.data, []byte(owner)), bytes.Contains(jpg.data, icc))
			}
		}
	}
}

// TestPagesOfATIFF chooses pages by frame; each has its own size, and a chain that runs in a circle is refused.
func TestPagesOfATIFF(t *testing.T) {
	t.Parallel()
	first, second := encodeTIFF(t, solid(red)), encodeTIFF(t, quadrants(20, 10))
	// The second file behind the first: its offsets grow, and the first one's directory leads to it.
	le := binary.LittleEndian
	shift := uint32(len(first))
	ifd := le.Uint32(second[4:])
	for i := range uint32(le.Uint16(second[ifd:])) {
		e := second[ifd+2+12*i:]
		size := map[uint16]uint32{3: 2, 4: 4, 5: 8}[le.Uint16(e[2:])] * le.Uint32(e[4:])
		if tag := le.Uint16(e); size > 4 || tag == 273 {
			le.PutUint32(e[8:], le.Uint32(e[8:])+shift)
		}
	}
	lead := func(to uint32) []byte {
		out := append(bytes.Clone(first), second...)
		at := le.Uint32(first[4:])
		le.PutUint32(out[at+2+12*uint32(le.Uint16(first[at:])):], to)
		return out
	}
	m, out := mustResize(t, lead(ifd+shift), params(func(p *tasks.ResizeParams) { p.Frame, p.Format = 1, tasks.PNG }))
	if out.Source.Frames != 0 || m.Bounds().Dx() != 20 {
		t.Errorf("the second page: %+v of %+v", out.Rendered, out.Source)
	}
	wantCorners(t, m, [4]color.NRGBA{red, green, blue, yellow}, 0)
	if m, _ := mustResize(t, lead(ifd+shift), params(nil)); m.Bounds().Dx() != 32 {
		t.Errorf("the first page: %v", m.Bounds())
	}
	if _, err := resize(t.Context(), engine(), lead(ifd+shift), params(func(p *tasks.ResizeParams) { p.Frame = 2 })); codeOf(err) != millrace.CodeInvalidInput {
		t.Errorf("a third page: %v", err)
	}
	if _, err := resize(t.Context(), engine(), lead(le.Uint32(first[4:])), params(nil)); codeOf(err) != millrace.CodeCorrupt {
		t.Errorf("a circle: %v, want corrupt", err)
	}
}

// TestThinAVIF asks for what the encoder gives up on: that is no fault that passes.
func TestThinAVIF(t *testing.T) {
	t.Parallel()
	data := encodePNG(t, quadrants(400, 200))
	for _, size := range []image.Point{{1, 16384}, {16384, 9}} {
		_, err := resize(t.Context(), engine(), data, params(func(p *tasks.ResizeParams) {
			p.Width, p.Height, p.Fit, p.Enlarge, p.Format = size.X, size.Y, tasks.Fill, true, tasks.AVIF
		}))
		if codeOf(err) != millrace.CodeInvalidInput {
			t.Errorf("%v: %v, want a refusal for good", size, err)
		}
	}
}
