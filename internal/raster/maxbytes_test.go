package raster_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/raster"
	"github.com/millrace/millrace/tasks"
	"github.com/millrace/millrace/tasks/taskstest"
)

// TestMaxBytes finds the quality just below the first one that does not fit.
func TestMaxBytes(t *testing.T) {
	t.Parallel()
	data := encodePNG(t, scene(300, 200))
	at := func(quality int) int64 {
		_, out := mustResize(t, data, params(func(p *tasks.ResizeParams) { p.Format, p.Quality = tasks.JPEG, quality }))
		return out.Bytes
	}
	for _, asked := range []int{0, 80, 95} {
		for _, limit := range []int64{at(3), at(40) + 5, at(79) + 1, at(80), at(100)} {
			m, out := mustResize(t, data, params(func(p *tasks.ResizeParams) { p.Format, p.Quality, p.MaxBytes = tasks.JPEG, asked, limit }))
			highest := max(asked, 80)
			if int64(len(out.data)) > limit || out.Bytes != int64(len(out.data)) || out.Quality > highest || out.Quality < 1 {
				t.Errorf("asked for %d bytes: %+v with %d", limit, *out.Rendered, len(out.data))
			}
			if out.Quality < highest && at(out.Quality+1) <= limit {
				t.Errorf("asked for %d bytes: quality %d, and %d has %d", limit, out.Quality, out.Quality+1, at(out.Quality+1))
			}
			if m.Bounds().Dx() != 300 {
				t.Errorf("size %v", m.Bounds())
			}
		}
	}
}

func TestMaxBytesThatCannotBe(t *testing.T) {
	t.Parallel()
	data := encodePNG(t, scene(300, 200))
	for _, tt := range []struct {
		format string
		limit  int64
		says   []string
	}{
		{tasks.JPEG, 400, []string{"even at quality 1", "400"}},
		{tasks.PNG, 1000, []string{"the png has", "1000"}},
		{tasks.GIF, 1000, []string{"the gif has", "1000"}},
	} {
		host := new(taskstest.Host)
		out, err := resizeOn(t.Context(), host, raster.New(), data, params(func(p *tasks.ResizeParams) { p.Format, p.MaxBytes = tt.format, tt.limit }))
		if codeOf(err) != millrace.CodeTooLarge || !codeOf(err).Permanent() || out.data != nil || out.extension != "" {
			t.Errorf("%s: %v, output of %d bytes", tt.format, err, len(out.data))
		}
		for _, words := range tt.says {
			if !strings.Contains(fmt.Sprint(err), words) {
				t.Errorf("%s: %v, want it to say %q", tt.format, err, words)
			}
		}
	}
	_, out := mustResize(t, data, params(func(p *tasks.ResizeParams) { p.Format, p.MaxBytes = tasks.PNG, 1<<20 }))
	if out.Bytes > 1<<20 || out.Quality != 0 {
		t.Errorf("a PNG that fits: %+v", *out.Rendered)
	}
	host := new(taskstest.Host)
	_, err := resizeAll(t.Context(), host, raster.New(), data, variant("fits", func(p *tasks.ResizeParams) { p.Format, p.MaxBytes = tasks.JPEG, 5000 }),
		variant("not", func(p *tasks.ResizeParams) { p.Format, p.MaxBytes = tasks.JPEG, 100 }))
	if codeOf(err) != millrace.CodeTooLarge || !strings.Contains(err.Error(), "variant not") {
		t.Errorf("a variant that does not fit: %v", err)
	}
}

// TestMaxBytesGivesUpColours: a quality below 90 halves the colours, also where 95 had been asked for.
func TestMaxBytesGivesUpColours(t *testing.T) {
	t.Parallel()
	data := encodePNG(t, scene(300, 200))
	ask := func(limit int64) (output, byte) {
		_, out := mustResize(t, data, params(func(p *tasks.ResizeParams) { p.Format, p.Quality, p.MaxBytes = tasks.JPEG, 95, limit }))
		return out, sampling(t, out.data)
	}
	if out, s := ask(1 << 20); out.Quality != 95 || s != 0x11 {
		t.Errorf("quality %d with sampling %x, want 95 with 11", out.Quality, s)
	}
	if out, s := ask(9000); out.Quality >= 90 || s != 0x22 {
		t.Errorf("quality %d with sampling %x, want less than 90 with 22", out.Quality, s)
	}
}

// sampling is the first component's sampling factors in a JPEG's frame header.
func sampling(t *testing.T, data []byte) byte {
	t.Helper()
	for i := 2; i+4 < len(data); {
		if data[i+1] == 0xC0 || data[i+1] == 0xC2 {
			return data[i+11]
		}
		i += 2 + int(data[i+2])<<8 + int(data[i+3])
	}
	t.Fatal("no frame header")
	return 0
}
