package raster_test

import (
	"bytes"
	"cmp"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/image/webp"

	"github.com/millrace/millrace/internal/raster"
	"github.com/millrace/millrace/tasks"
)

// maker makes a picture of a width out of a file: a PNG without loss, or a JPEG or WebP of a quality.
type maker func(b *testing.B, file string, width int, format string, quality int) []byte

// BenchmarkQuality writes the table of docs/benchmarks.md: this engine, libvips (the command vips) and sharp (NODE_PATH tells node where it is)
// against the reference. It takes the collection of photographs beside the repository, and leaves out what is not installed.
func BenchmarkQuality(b *testing.B) {
	makers := []struct {
		name string
		make maker
	}{{"millrace", makeOurs}}
	if _, err := exec.LookPath("vips"); err == nil {
		makers = append(makers, struct {
			name string
			make maker
		}{"libvips", makeVips})
	}
	if exec.Command("node", "-e", "require('sharp')").Run() == nil {
		makers = append(makers, struct {
			name string
			make maker
		}{"sharp", makeSharp})
	}
	var table strings.Builder
	for b.Loop() {
		table.Reset()
		files := photographs(b)
		for _, name := range slices.Sorted(keysOf(files)) {
			full, err := jpeg.Decode(bytes.NewReader(files[name]))
			if err != nil {
				b.Fatal(err)
			}
			source := floatsOf(full)
			for _, width := range []int{320, 800, 1000} {
				if 2*width > source.w {
					continue
				}
				var peer []point // of the last maker: what bytes are compared with
				rows := make([]string, len(makers))
				for i := len(makers) - 1; i >= 0; i-- {
					rows[i], peer = compare(b, makers[i].make, filepath.Join(sharedDir, name), source, width, peer)
					rows[i] = fmt.Sprintf("| %s, %d | %s | %s\n", name, width, makers[i].name, rows[i])
				}
				table.WriteString(strings.Join(rows, ""))
			}
		}
	}
	b.Log("photograph, width | engine | SSIM | ΔE2000 | JPEG q80: SSIM, kB | kB at the peer's SSIM, JPEG | WebP\n" + table.String())
}

func keysOf(m map[string][]byte) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// point is how much of a picture so many bytes keep.
type point struct {
	format string
	bytes  int
	like   float64
}

// compare is a row of the table. peer is what bytes are compared with; without one they are compared with the maker's own.
func compare(b *testing.B, make maker, file string, source floats, width int, peer []point) (string, []point) {
	b.Helper()
	var points []point
	pixels := decodeAny(b, "png", make(b, file, width, "png", 0))
	want := source.resize(pixels.w, pixels.h, "auto", false)
	for _, format := range []string{"jpeg", "webp"} {
		for _, quality := range []int{70, 80, 90} {
			if data := make(b, file, width, format, quality); data != nil {
				points = append(points, point{format, len(data), decodeAny(b, format, data).similarity(want)})
			}
		}
	}
	if peer == nil {
		peer = points
	}
	row := fmt.Sprintf("%.4f | %.2f |", pixels.similarity(want), pixels.difference(want))
	for _, format := range []string{"jpeg", "webp"} {
		ours, theirs := of(points, format), of(peer, format)
		if len(ours) < 3 || len(theirs) < 3 {
			row += " – |"
			continue
		}
		if format == "jpeg" {
			row += fmt.Sprintf(" %.4f, %.1f |", ours[1].like, float64(ours[1].bytes)/1000)
		}
		at := bytesAt(ours, theirs[1].like)
		row += fmt.Sprintf(" %.1f (%+.1f %%) |", at/1000, 100*(at/float64(theirs[1].bytes)-1))
	}
	return row, peer
}

func of(points []point, format string) []point {
	var out []point
	for _, p := range points {
		if p.format == format {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(p, q point) int { return cmp.Compare(p.like, q.like) })
	return out
}

// bytesAt is how many bytes a likeness takes, between (or beyond) the points that were measured.
func bytesAt(points []point, like float64) float64 {
	i := 0
	for i < len(points)-2 && points[i+1].like < like {
		i++
	}
	p, q := points[i], points[i+1]
	return float64(p.bytes) + float64(q.bytes-p.bytes)*(like-p.like)/(q.like-p.like)
}

func decodeAny(b *testing.B, format string, data []byte) floats {
	b.Helper()
	decoders := map[string]func() (image.Image, error){
		"png":  func() (image.Image, error) { return png.Decode(bytes.NewReader(data)) },
		"jpeg": func() (image.Image, error) { return jpeg.Decode(bytes.NewReader(data)) },
		"webp": func() (image.Image, error) { return webp.Decode(bytes.NewReader(data)) },
	}
	m, err := decoders[format]()
	if err != nil {
		b.Fatal(err)
	}
	return floatsOf(m)
}

func makeOurs(b *testing.B, file string, width int, format string, quality int) []byte {
	p := params(func(p *tasks.ResizeParams) { p.Width, p.Format, p.Quality = width, format, quality })
	if p.Validate() != nil {
		return nil
	}
	out, err := resize(b.Context(), raster.New(), readFile(b, file), p)
	if err != nil {
		b.Fatal(err)
	}
	return out.data
}

func makeVips(b *testing.B, file string, width int, format string, quality int) []byte {
	out := filepath.Join(b.TempDir(), "out."+map[string]string{"png": "png", "jpeg": "jpg", "webp": "webp"}[format])
	options := fmt.Sprintf("[Q=%d,strip]", quality)
	if format == "png" {
		options = ""
	}
	cmd := exec.Command("vips", "thumbnail", file, out+options, fmt.Sprint(width), "--height", "100000")
	if said, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("vips: %v: %s", err, said)
	}
	return readFile(b, out)
}

func makeSharp(b *testing.B, file string, width int, format string, quality int) []byte {
	out := filepath.Join(b.TempDir(), "out")
	script := fmt.Sprintf("require('sharp')(%q).autoOrient().resize({width: %d}).%s({%s}).toFile(%q)", file, width, format,
		map[bool]string{true: fmt.Sprintf("quality: %d", quality)}[quality > 0], out)
	if said, err := exec.Command("node", "-e", script).CombinedOutput(); err != nil {
		b.Fatalf("sharp: %v: %s", err, said)
	}
	return readFile(b, out)
}
