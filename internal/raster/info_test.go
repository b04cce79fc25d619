package raster_test

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/gif"
	"testing"
	"unicode/utf16"

	"github.com/gen2brain/jpegn"
	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/raster"
	"github.com/millrace/millrace/tasks"
	"github.com/millrace/millrace/tasks/taskstest"
)

func describe(t *testing.T, data []byte, wanted ...string) (tasks.InfoResult, *taskstest.Host, error) {
	t.Helper()
	host := new(taskstest.Host)
	r, err := raster.New().Info(t.Context(), host.Call(taskstest.Input{Name: "in", Data: data}), tasks.InfoParams{Placeholders: wanted})
	if now, _ := host.Reserved(); now != 0 {
		t.Errorf("left %d bytes reserved", now)
	}
	return r, host, err
}

// named gives a profile a name and a class: by the type of version 2, or by that of version 4.
func named(icc []byte, class, name string, old bool) []byte {
	out := bytes.Clone(icc)
	copy(out[12:], class)
	n := int(binary.BigEndian.Uint32(out[128:]))
	desc := []byte("mluc\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x0cenUS")
	if old {
		desc = binary.BigEndian.AppendUint32([]byte("desc\x00\x00\x00\x00"), uint32(len(name)+1))
		desc = append(append(desc, name...), 0)
	} else {
		units := utf16.Encode([]rune(name))
		desc = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(desc, uint32(2*len(units))), 28)
		for _, u := range units {
			desc = binary.BigEndian.AppendUint16(desc, u)
		}
	}
	// One entry more moves everything behind the table.
	for i := range n {
		at := 132 + 12*i + 4
		binary.BigEndian.PutUint32(out[at:], binary.BigEndian.Uint32(out[at:])+12)
	}
	entry := binary.BigEndian.AppendUint32([]byte("desc"), uint32(len(out)+12))
	entry = binary.BigEndian.AppendUint32(entry, uint32(len(desc)))
	binary.BigEndian.PutUint32(out[128:], uint32(n+1))
	return bytes.Join([][]byte{out[:132+12*n], entry, out[132+12*n:], desc}, nil)
}

// located is EXIF with a place.
func located() []byte {
	return []byte("Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x88\x25\x00\x04\x00\x00\x00\x01\x00\x00\x00\x1a\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
}

func TestInfo(t *testing.T) {
	t.Parallel()
	p3 := profile("RGB ", sRGBCurve(), p3Primaries)
	grey := image.NewGray(image.Rect(0, 0, 20, 10))
	clear := image.NewPaletted(image.Rect(0, 0, 30, 20), color.Palette{color.Transparent, red})
	turned := func(r tasks.InfoResult) tasks.InfoResult {
		r.Width, r.Height, r.Orientation, r.EXIF = 10, 20, 6, true
		return r
	}
	plain := tasks.InfoResult{Width: 20, Height: 10, Format: "jpeg", Frames: 1, Orientation: 1, ColorSpace: "rgb", Depth: 8, Subsampling: "4:2:0"}
	with := func(r tasks.InfoResult, change func(*tasks.InfoResult)) tasks.InfoResult {
		change(&r)
		return r
	}
	png := with(plain, func(r *tasks.InfoResult) { r.Format, r.Subsampling = "png", "" })
	m := quadrants(20, 10)
	for _, tt := range []struct {
		name string
		data []byte
		want tasks.InfoResult
	}{
		{"4:2:0", encodeJPEG(t, m, jpegn.EncodeOptions{Subsampling: jpegn.Subsample420}), plain},
		{"4:2:2", encodeJPEG(t, m, jpegn.EncodeOptions{Subsampling: jpegn.Subsample422}), with(plain, func(r *tasks.InfoResult) { r.Subsampling = "4:2:2" })},
		{"turned", encodeJPEG(t, m, jpegn.EncodeOptions{Subsampling: jpegn.Subsample420, Exif: exif(6)}), turned(plain)},
		{"located", encodeJPEG(t, m, jpegn.EncodeOptions{Subsampling: jpegn.Subsample420, Exif: located()}), with(plain, func(r *tasks.InfoResult) { r.EXIF, r.GPS = true, true })},
		{"grey", encodeJPEG(t, grey, jpegn.EncodeOptions{Subsampling: jpegn.SubsampleGray}), with(plain, func(r *tasks.InfoResult) { r.ColorSpace, r.Subsampling = "gray", "" })},
		{"profile of version 2", encodeJPEG(t, m, jpegn.EncodeOptions{Subsampling: jpegn.Subsample420, Segments: iccSegment(named(p3, "mntr", "Wide\n gamut", true))}),
			with(plain, func(r *tasks.InfoResult) { r.Profile, r.ProfileClass = "Wide gamut", "display" })},
		{"profile of version 4", encodeJPEG(t, m, jpegn.EncodeOptions{Subsampling: jpegn.Subsample420, Segments: iccSegment(named(p3, "scnr", "Größe 😀", false))}),
			with(plain, func(r *tasks.InfoResult) { r.Profile, r.ProfileClass = "Größe 😀", "input" })},
		{"progressive", readFile(t, "testdata/progressive.jpg"), tasks.InfoResult{}},
		{"cmyk", readFile(t, "testdata/cmyk.jpg"), tasks.InfoResult{}},
		{"PNG", encodePNG(t, m), png},
		{"PNG, 16 bits, grey", encodePNG(t, image.NewGray16(m.Rect)), with(png, func(r *tasks.InfoResult) { r.ColorSpace, r.Depth = "gray", 16 })},
		{"PNG, transparent", encodePNG(t, image.NewNRGBA(m.Rect)), with(png, func(r *tasks.InfoResult) { r.HasAlpha = true })},
		{"PNG, one colour transparent", encodePNG(t, clear), with(png, func(r *tasks.InfoResult) { r.Width, r.Height, r.HasAlpha, r.Depth = 30, 20, true, 1 })},
		{"GIF", encodeGIF(t, &gif.GIF{Image: []*image.Paletted{clear, clear}, Delay: []int{5, 5}}),
			with(png, func(r *tasks.InfoResult) {
				r.Width, r.Height, r.Format, r.HasAlpha, r.Frames, r.Animated = 30, 20, "gif", true, 2, true
			})},
		{"WebP", readFile(t, "testdata/lossy.webp"), tasks.InfoResult{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, host, err := describe(t, tt.data)
			if err != nil {
				t.Fatal(err)
			}
			if _, peak := host.Reserved(); peak != 0 {
				t.Errorf("reserved %d bytes for a header", peak)
			}
			if got.Bytes != int64(len(tt.data)) {
				t.Errorf("bytes = %d, want %d", got.Bytes, len(tt.data))
			}
			if tt.want.Width == 0 { // a file: what resizing says of it
				_, out := mustResize(t, tt.data, params(func(p *tasks.ResizeParams) { p.Width = 8 }))
				if got.Width != out.Source.Width || got.Height != out.Source.Height || got.Format != out.Source.Format {
					t.Errorf("%+v, resizing says %+v", got, out.Source)
				}
				if got.Progressive != (tt.name == "progressive") || (got.ColorSpace == "cmyk") != (tt.name == "cmyk") {
					t.Errorf("%+v", got)
				}
				return
			}
			tt.want.Bytes = got.Bytes
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestInfoPlaceholders has them be those of the resized picture.
func TestInfoPlaceholders(t *testing.T) {
	t.Parallel()
	all := []string{tasks.BlurHash, tasks.ThumbHash, tasks.DominantColor}
	data := encodeJPEG(t, lay(scene(640, 400), 6), jpegn.EncodeOptions{Exif: exif(6)})
	got, host, err := describe(t, data, all...)
	if err != nil {
		t.Fatal(err)
	}
	if _, peak := host.Reserved(); peak == 0 || got.Width != 640 || got.Height != 400 {
		t.Errorf("%+v with %d bytes reserved", got, peak)
	}
	_, out := mustResize(t, data, params(func(p *tasks.ResizeParams) {
		p.Width, p.Height, p.Format, p.Placeholders = 64, 64, tasks.PNG, all
	}))
	if got.Placeholders != out.Placeholders {
		t.Errorf("%+v, resizing says %+v", got.Placeholders, out.Placeholders)
	}
}

func TestInfoRefuses(t *testing.T) {
	t.Parallel()
	whole := encodeJPEG(t, quadrants(64, 48), jpegn.EncodeOptions{})
	for want, data := range map[millrace.Code][]byte{
		millrace.CodeUnsupportedFormat: []byte("plain text, and no picture"), millrace.CodeCorrupt: whole[:100],
		millrace.CodeTooLarge: hugePNG(),
	} {
		if _, _, err := describe(t, data, tasks.BlurHash); codeOf(err) != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// hugePNG declares more pixels than are taken, and has none.
func hugePNG() []byte {
	b := []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR\x00\x00\xc3\x50\x00\x00\xc3\x50\x08\x02\x00\x00\x00")
	return append(b, make([]byte, 100)...)
}
