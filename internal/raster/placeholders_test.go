package raster

import (
	"encoding/base64"
	"image"
	"image/color"
	"testing"

	"github.com/millrace/millrace/tasks"
)

func drawn(w, h int, at func(x, y int) color.NRGBA) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		m.SetNRGBA(i%w, i/w, at(i%w, i/w))
	}
	return m
}

// TestThumbHash compares with hashes that the algorithm's published reference gives for the same pixels.
func TestThumbHash(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		m    *image.NRGBA
		want string
	}{
		{"landscape", drawn(40, 30, func(x, y int) color.NRGBA {
			return color.NRGBA{byte(x * x / 5), byte(x * y * y), byte(x*x + 3*y*y), 255}
		}), "2cYJLZBQSWl1d3d2d1d3dmCHB5eY"},
		{"portrait", drawn(20, 50, func(x, y int) color.NRGBA { return color.NRGBA{byte(12 * x), byte(5 * y), byte(x * y), 255} }), "nOgNGxpgcGiIhod386EO93g="},
		{"square", drawn(32, 32, func(x, y int) color.NRGBA { return color.NRGBA{byte(x * x), byte(y * y), byte(8 * x), 255} }), "GgcOVwxghoiFiIh2iGiHiIiI+FZoII8N"},
		{"transparent", drawn(48, 32, func(x, y int) color.NRGBA {
			return color.NRGBA{byte(5 * x), byte(x * y / 8), 120, byte((x*x + 5*y*y) / 40)}
		}), "W4eGE4ITkIbHh2iQxwjqV4SHgHiJeIg="},
		{"invisible", drawn(8, 8, func(int, int) color.NRGBA { return color.NRGBA{10, 20, 30, 0} }), "AAiCBQAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="},
		{"a few rows", drawn(64, 3, func(x, y int) color.NRGBA {
			return color.NRGBA{byte(x * x / 16), byte(7 * x * y), byte(x * x * y), 255}
		}), "UwgOMZZwdVeAiDmIsHsL26c="},
	} {
		if got := base64.StdEncoding.EncodeToString(thumbHash(tt.m)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// TestBlurHash compares with hashes that the algorithm's published reference gives for the same pixels.
func TestBlurHash(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		m      *image.NRGBA
		nx, ny int
		want   string
	}{
		{"landscape", drawn(40, 30, func(x, y int) color.NRGBA { return color.NRGBA{byte(x * x / 5), byte(x * y / 5), byte(200 - 3*y), 255} }), 4, 3, "LYC#]90.t4+~m#X%jHj[g3e=fjf8"},
		{"portrait", drawn(20, 50, func(x, y int) color.NRGBA { return color.NRGBA{byte(12 * x), byte(5 * y), byte(x * y), 255} }), 4, 3, "LwF$z#7Dwtbql[adjve?gYflfTfl"},
		{"one term", drawn(32, 32, func(x, y int) color.NRGBA { return color.NRGBA{byte(x * x), byte(y * y), byte(8 * x), 255} }), 1, 1, "00ECw%"},
		{"nine terms", drawn(32, 32, func(x, y int) color.NRGBA { return color.NRGBA{byte(x * x), byte(y * y), byte(8 * x), 255} }), 9, 2, "HxECw%J]JpSwo0xGsSOXSKm@axa}f7fQjafQaza|"},
		{"flat", drawn(10, 10, func(int, int) color.NRGBA { return color.NRGBA{200, 100, 50, 255} }), 4, 3, "LIM|T9}XfQ}X}XsofQsofQfQfQfQ"},
		{"black", drawn(10, 10, func(int, int) color.NRGBA { return color.NRGBA{0, 0, 0, 255} }), 4, 3, "L00000fQfQfQfQfQfQfQfQfQfQfQ"},
	} {
		if got := blurHash(tt.m, tt.nx, tt.ny); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestDominant(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		at   func(x, y int) color.NRGBA
		want string
	}{
		{"flat", func(int, int) color.NRGBA { return color.NRGBA{200, 100, 50, 255} }, "#c86432"},
		{"most of it", func(x, _ int) color.NRGBA {
			if x < 22 {
				return color.NRGBA{10, 20, 200, 255}
			}
			return color.NRGBA{240, 240, 0, 255}
		}, "#0a14c8"},
		{"around the edge of a box", func(x, y int) color.NRGBA {
			if y < 14 {
				return color.NRGBA{0, byte(120 + x/3), 0, 255} // 120 … 132
			}
			return color.NRGBA{200, 0, 0, 255}
		}, "#007e00"},
		{"what is visible", func(x, _ int) color.NRGBA {
			if x < 30 {
				return color.NRGBA{255, 0, 255, 3}
			}
			return color.NRGBA{1, 2, 3, 255}
		}, "#010203"},
		{"nothing", func(int, int) color.NRGBA { return color.NRGBA{255, 0, 0, 0} }, ""},
	} {
		if got := dominant(drawn(40, 24, tt.at)); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestPlaceholders takes them of every kind of picture that an output can be made of, and only those that were asked for.
func TestPlaceholders(t *testing.T) {
	t.Parallel()
	left, right := color.NRGBA{220, 30, 30, 255}, color.NRGBA{30, 30, 220, 255}
	m := drawn(300, 100, func(x, _ int) color.NRGBA {
		if x < 180 {
			return left
		}
		return right
	})
	got, err := placeholders(t.Context(), m, []string{tasks.BlurHash, tasks.ThumbHash, tasks.DominantColor})
	if err != nil {
		t.Fatal(err)
	}
	if got.DominantColor != "#dc1e1e" {
		t.Errorf("dominant colour %s, want #dc1e1e", got.DominantColor)
	}
	if hash, err := base64.StdEncoding.DecodeString(got.ThumbHash); err != nil || len(hash) < 10 {
		t.Errorf("thumbhash %q: %v", got.ThumbHash, err)
	}
	if len(got.BlurHash) != 4+2*4*3 {
		t.Errorf("blurhash %q, want one of 4 × 3 terms", got.BlurHash)
	}
	if got, err := placeholders(t.Context(), m, nil); err != nil || got != (tasks.Placeholders{}) {
		t.Errorf("unasked: %+v, %v", got, err)
	}
	for kind, m := range kindsOf(90, 200, func(x, _ int) byte { return byte(40 + 100*(x%2)) }) {
		if got, err := placeholders(t.Context(), m, []string{tasks.DominantColor}); err != nil || got.DominantColor != "#5a5a5a" || got.BlurHash != "" || got.ThumbHash != "" {
			t.Errorf("%s: %+v, %v, want #5a5a5a alone", kind, got, err)
		}
	}
}
