package raster

import (
	"errors"
	"math"
	"testing"
)

// TestBestQuality searches where sizes are known for every quality, as they grow in real encoders and as they grow in none.
func TestBestQuality(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]func(q int) int64{
		"jpeg":    func(q int) int64 { return int64(600 + 2e6*math.Exp(-0.75*steps(q))) },
		"webp":    func(q int) int64 { return int64(3000 * math.Exp(0.031*float64(q))) },
		"even":    func(q int) int64 { return int64(1000 + 10*q) },
		"jumping": func(q int) int64 { return int64(5000 * (1 + q/30)) },
	} {
		for _, asked := range []int{1, 2, 50, 80, 100} {
			for want := 1; want <= asked; want++ {
				limit, tried := size(want), 0
				best := want
				for best < asked && size(best+1) <= limit {
					best++
				}
				got, _, err := bestQuality(asked, limit, func(q int) (int64, error) {
					if tried++; q < 1 || q > asked {
						t.Fatalf("%s: tried %d where %d is asked for", name, q, asked)
					}
					return size(q), nil
				})
				slack := 2 // where the tries were used up
				if tried < maxEncodes {
					slack = 0
				} else if name == "jumping" || name == "even" {
					slack = 30
				}
				if err != nil || size(got) > limit || got < best-slack || got > best || tried > maxEncodes {
					t.Errorf("%s, %d asked for: found %d in %d tries, want %d: %v", name, asked, got, tried, best, err)
				}
			}
			tried := 0
			got, least, err := bestQuality(asked, size(1)-1, func(q int) (int64, error) { tried++; return size(q), nil })
			if got != 0 || least != size(1) || err != nil || tried > maxEncodes {
				t.Errorf("%s, %d asked for, where nothing fits: %d, %d bytes after %d tries, %v", name, asked, got, least, tried, err)
			}
		}
	}
	errStop := errors.New("stop")
	if _, _, err := bestQuality(80, 100, func(int) (int64, error) { return 0, errStop }); !errors.Is(err, errStop) {
		t.Errorf("%v, want the encoder's error", err)
	}
}
