package main

import (
	"bytes"
	"encoding/csv"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"os"
	"path/filepath"
	"testing"
)

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../samples", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestSamplesAreMadeHere holds the licence note: what is committed is what this program makes.
func TestSamplesAreMadeHere(t *testing.T) {
	t.Parallel()
	table, err := orders(600)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(table, read(t, "orders.csv")) || !bytes.Equal(serverLog(2000), read(t, "server.log")) {
		t.Error("orders.csv and server.log are not what the program makes; run go generate ./web")
	}
	kept, err := jpeg.Decode(bytes.NewReader(read(t, "mountains.jpg")))
	if err != nil {
		t.Fatal(err)
	}
	if kept.Bounds() != image.Rect(0, 0, 1200, 800) {
		t.Fatalf("mountains.jpg is %v, want 1200 × 800", kept.Bounds())
	}
	// JPEG moves single pixels, more so on an edge, so the mean over a grid is compared.
	var sum, n float64
	for y := 5; y < 800; y += 40 {
		for x := 5; x < 1200; x += 40 {
			want, got := pixel(x, y, 800), color.RGBAModel.Convert(kept.At(x, y)).(color.RGBA)
			sum += math.Abs(float64(want.R)-float64(got.R)) + math.Abs(float64(want.B)-float64(got.B))
			n += 2
		}
	}
	if mean := sum / n; mean > 4 {
		t.Errorf("mountains.jpg differs by %.1f of 255 on average; run go generate ./web", mean)
	}
}

func TestSamplesAreOfUse(t *testing.T) {
	t.Parallel()
	if n := len(read(t, "mountains.jpg")); n > 150_000 {
		t.Errorf("mountains.jpg has %d bytes, want at most 150,000", n)
	}
	rows, err := csv.NewReader(bytes.NewReader(read(t, "orders.csv"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 601 || len(rows[0]) != 9 {
		t.Errorf("orders.csv has %d × %d cells, want 601 × 9", len(rows), len(rows[0]))
	}
	if n := bytes.Count(read(t, "server.log"), []byte("\n")); n != 2000 {
		t.Errorf("server.log has %d lines, want 2,000", n)
	}
}
