package raster_test

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"image"
	"image/color"
	"math"
	"testing"

	"github.com/gen2brain/jpegn"

	"github.com/millrace/millrace/tasks"
)

func deflated(t *testing.T, zeros int) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	block := make([]byte, 1<<20)
	for ; zeros > 0; zeros -= len(block) {
		if _, err := z.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// profile makes an ICC profile of the matrix kind from its primaries (XYZ under D50) and the data of its curve.
func profile(space string, curve []byte, primaries map[string][3]float64) []byte {
	type tag struct {
		name string
		data []byte
	}
	var tags []tag
	for name, xyz := range primaries {
		data := []byte("XYZ \x00\x00\x00\x00")
		for _, v := range xyz {
			data = binary.BigEndian.AppendUint32(data, uint32(int32(math.Round(v*65536))))
		}
		tags = append(tags, tag{name + "XYZ", data}, tag{name + "TRC", curve})
	}
	if primaries == nil {
		tags = []tag{{"kTRC", curve}}
	}
	head := make([]byte, 128)
	copy(head[16:], space+"XYZ ")
	copy(head[36:], "acsp")
	table := binary.BigEndian.AppendUint32(nil, uint32(len(tags)))
	var body []byte
	for _, tg := range tags {
		table = append(table, tg.name...)
		table = binary.BigEndian.AppendUint32(table, uint32(132+12*len(tags)+len(body)))
		table = binary.BigEndian.AppendUint32(table, uint32(len(tg.data)))
		body = append(body, tg.data...)
	}
	out := bytes.Join([][]byte{head, table, body}, nil)
	binary.BigEndian.PutUint32(out, uint32(len(out)))
	return out
}

// sRGBCurve is sRGB's curve as a parametric one.
func sRGBCurve() []byte {
	b := []byte("para\x00\x00\x00\x00\x00\x03\x00\x00")
	for _, v := range []float64{2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045} {
		b = binary.BigEndian.AppendUint32(b, uint32(math.Round(v*65536)))
	}
	return b
}

func gammaCurve(gamma float64) []byte {
	return binary.BigEndian.AppendUint16([]byte("curv\x00\x00\x00\x00\x00\x00\x00\x01"), uint16(math.Round(gamma*256)))
}

var (
	sRGBPrimaries = map[string][3]float64{"r": {0.43607, 0.22249, 0.01392}, "g": {0.38515, 0.71687, 0.09708}, "b": {0.14307, 0.06061, 0.71410}}
	p3Primaries   = map[string][3]float64{"r": {0.51512, 0.24120, -0.00105}, "g": {0.29198, 0.69225, 0.04189}, "b": {0.15710, 0.06657, 0.78407}}
)

func iccSegment(icc []byte) []jpegn.Segment {
	return []jpegn.Segment{{Marker: 0xE2, Data: append([]byte("ICC_PROFILE\x00\x01\x01"), icc...)}}
}

func solid(c color.Color) image.Image {
	m := image.NewNRGBA(image.Rect(0, 0, 32, 32))
	for i := range 32 * 32 {
		m.Set(i%32, i/32, c)
	}
	return m
}

func TestProfiles(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		icc      []byte
		in, want color.NRGBA
	}{
		{"Display P3", profile("RGB ", sRGBCurve(), p3Primaries), color.NRGBA{200, 100, 80, 255}, color.NRGBA{215, 93, 73, 255}},
		{"Display P3, outside sRGB", profile("RGB ", sRGBCurve(), p3Primaries), color.NRGBA{255, 0, 0, 255}, color.NRGBA{255, 0, 0, 255}},
		{"Display P3 grey", profile("RGB ", sRGBCurve(), p3Primaries), color.NRGBA{128, 128, 128, 255}, color.NRGBA{128, 128, 128, 255}},
		{"sRGB", profile("RGB ", sRGBCurve(), sRGBPrimaries), color.NRGBA{200, 100, 80, 255}, color.NRGBA{200, 100, 80, 255}},
		{"gamma 1.8", profile("RGB ", gammaCurve(1.8), sRGBPrimaries), color.NRGBA{128, 128, 128, 255}, color.NRGBA{147, 147, 147, 255}},
		{"not a profile", []byte("garbage"), color.NRGBA{200, 100, 80, 255}, color.NRGBA{200, 100, 80, 255}},
		{"no such curve", profile("RGB ", []byte("nope00000000"), p3Primaries), color.NRGBA{200, 100, 80, 255}, color.NRGBA{200, 100, 80, 255}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			jpg := encodeJPEG(t, solid(tt.in), jpegn.EncodeOptions{Segments: iccSegment(tt.icc)})
			pic := withChunk(encodePNG(t, solid(tt.in)), "iCCP", append([]byte("x\x00\x00"), deflate(t, tt.icc)...))
			for _, data := range [][]byte{jpg, pic} {
				m, out := mustResize(t, data, params(func(p *tasks.ResizeParams) { p.Width = 16 }))
				if !near(m, 0.5, 0.5, tt.want, 4) {
					t.Errorf("%s: %v, want %v", out.Format, m.At(8, 8), tt.want)
				}
				if bytes.Contains(out.data, []byte("acsp")) || bytes.Contains(out.data, []byte("iCCP")) {
					t.Errorf("%s still carries its profile", out.Format)
				}
			}
		})
	}
	grey := image.NewGray(image.Rect(0, 0, 32, 32))
	for i := range grey.Pix {
		grey.Pix[i] = 128
	}
	data := encodeJPEG(t, grey, jpegn.EncodeOptions{Segments: iccSegment(profile("GRAY", gammaCurve(1.8), nil))})
	if m, _ := mustResize(t, data, params(nil)); !near(m, 0.5, 0.5, color.NRGBA{147, 147, 147, 255}, 2) {
		t.Errorf("grey of gamma 1.8: %v, want 147", m.At(8, 8))
	}
}

func deflate(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestStrip(t *testing.T) {
	t.Parallel()
	icc := profile("RGB ", sRGBCurve(), p3Primaries)
	stored := lay(quadrants(64, 48), 6)
	jpg := encodeJPEG(t, stored, jpegn.EncodeOptions{Subsampling: jpegn.Subsample444, Exif: exif(6), Segments: iccSegment(icc)})
	pic := withChunk(encodePNG(t, stored), "eXIf", exif(6)[6:])
	pic = withChunk(pic, "iCCP", append([]byte("x\x00\x00"), deflate(t, icc)...))
	for _, data := range [][]byte{jpg, pic} {
		for _, format := range []string{tasks.JPEG, tasks.PNG} {
			_, out := mustResize(t, data, params(func(p *tasks.ResizeParams) { p.Format = format }))
			if bytes.Contains(out.data, []byte("SECRET-1234")) || bytes.Contains(out.data, []byte("xif")) {
				t.Errorf("%s to %s keeps EXIF although it is to be stripped", out.Source.Format, format)
			}
			m, out := mustResize(t, data, params(func(p *tasks.ResizeParams) { p.Format, p.Strip, p.Quality = format, false, 95 }))
			if !bytes.Contains(out.data, []byte("SECRET-1234")) {
				t.Errorf("%s to %s loses EXIF", out.Source.Format, format)
			}
			// The profile stays, so the numbers must.
			wantCorners(t, m, [4]color.NRGBA{red, green, blue, yellow}, 8)
			if got := profileOf(t, out); !bytes.Equal(got, icc) {
				t.Errorf("%s to %s: a profile of %d bytes, want %d", out.Source.Format, format, len(got), len(icc))
			}
			// What came out is upright already: a second run must not turn it again.
			again, _ := mustResize(t, out.data, params(func(p *tasks.ResizeParams) { p.Strip = false }))
			wantCorners(t, again, [4]color.NRGBA{red, green, blue, yellow}, 8)
		}
	}
	lying, out := mustResize(t, jpg, params(func(p *tasks.ResizeParams) { p.AutoOrient, p.Strip = false, false }))
	if lying.Bounds().Size() != image.Pt(48, 64) || !bytes.Contains(out.data, exif(6)) {
		t.Errorf("without auto_orient: %v, the orientation kept: %v", lying.Bounds().Size(), bytes.Contains(out.data, exif(6)))
	}
}

// profileOf finds the ICC profile in an output.
func profileOf(t *testing.T, out output) []byte {
	t.Helper()
	if out.Format == tasks.JPEG {
		_, rest, _ := bytes.Cut(out.data, []byte("ICC_PROFILE\x00\x01\x01"))
		n := bytes.Index(rest, []byte{0xFF, 0xDB})
		return rest[:max(0, n)]
	}
	_, rest, ok := bytes.Cut(out.data, []byte("iCCPICC Profile\x00\x00"))
	if !ok {
		return nil
	}
	z, err := zlib.NewReader(bytes.NewReader(rest))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := b.ReadFrom(z); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
