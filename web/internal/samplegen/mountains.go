package main

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"math"
)

// rgb is a colour in linear parts of 0…1.
type rgb struct{ r, g, b float64 }

func (c rgb) mix(to rgb, t float64) rgb {
	t = math.Max(0, math.Min(1, t))
	return rgb{c.r + (to.r-c.r)*t, c.g + (to.g-c.g)*t, c.b + (to.b-c.b)*t}
}

func hex(v uint32) rgb {
	return rgb{float64(v>>16) / 255, float64(v>>8&255) / 255, float64(v&255) / 255}
}

// ridge is one chain of mountains: where its line runs, and its colour at the crest and at the foot, where the haze is.
type ridge struct {
	level, height, scale, seed float64
	crest, foot                rgb
}

// mountains draws chains of hills before a sunrise, over a lake that mirrors them.
func mountains(width, height int) ([]byte, error) {
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			img.SetRGBA(x, y, pixel(x, y, height))
		}
	}
	var out bytes.Buffer
	err := jpeg.Encode(&out, img, &jpeg.Options{Quality: 82})
	return out.Bytes(), err
}

// horizon is how far down the lake begins, in heights of the picture.
const horizon = 0.74

func pixel(x, y, height int) color.RGBA {
	u, v := float64(x)/float64(height), float64(y)/float64(height)
	c := landscape(u, v)
	if v > horizon {
		c = lake(u, v)
	}
	// A little grain, the same in every run, keeps the sky from showing bands.
	grain := (noise(float64(x)*0.91, float64(y)*0.87, 7) - 0.5) / 110
	return color.RGBA{channel(c.r + grain), channel(c.g + grain), channel(c.b + grain), 255}
}

func channel(v float64) uint8 { return uint8(255*math.Max(0, math.Min(1, v)) + 0.5) }

func ridges() []ridge {
	return []ridge{
		{0.46, 0.42, 1.5, 11, hex(0xa9a3c4), hex(0xf0c9b4)},
		{0.54, 0.32, 2.0, 29, hex(0x7d86b0), hex(0xd9b3b5)},
		{0.61, 0.2, 2.6, 37, hex(0x4f6490), hex(0xa797ae)},
		{0.68, 0.12, 3.6, 41, hex(0x2d4a6b), hex(0x6d7796)},
		{0.735, 0.07, 5.2, 59, hex(0x16324a), hex(0x34546c)},
	}
}

func landscape(x, y float64) rgb {
	c := sky(x, y)
	for _, r := range ridges() {
		crest := r.level - r.height*(peaks(x*r.scale, r.seed)-0.45)
		if y < crest {
			continue
		}
		depth := (y - crest) / 0.3
		shade := r.crest.mix(r.foot, depth)
		// Woods and rock: a texture that fades into the haze, lit from the sun's side.
		texture := hills(x*r.scale*6+hills(y*9, r.seed)*1.5, r.seed+5)*hills(y*r.scale*7-x*3, r.seed+9) - 0.2
		c = shade.mix(hex(0xffdcb4), math.Max(0, texture*1.1)*math.Max(0, 0.55-depth))
	}
	return c
}

func sky(x, y float64) rgb {
	c := hex(0x2f4a7c).mix(hex(0x8d8fbf), y/0.22)
	if y > 0.22 {
		c = hex(0x8d8fbf).mix(hex(0xf6b48f), (y-0.22)/0.24)
	}
	const sunX, sunY = 0.98, 0.30
	distance := math.Hypot(x-sunX, y-sunY)
	c = c.mix(hex(0xffe3b0), 0.75*math.Exp(-distance*5))
	cloud := hills(x*1.4+y*2, 71) * hills(y*14+x*0.9, 83)
	c = c.mix(hex(0xffd7c2), math.Max(0, cloud-0.28)*1.3*(1-y*1.4))
	return c.mix(hex(0xfffaf0), 1-smooth((distance-0.042)/0.006))
}

// lake mirrors what is above the horizon, rippled more the nearer it is.
func lake(x, y float64) rgb {
	below := y - horizon
	ripple := (noise(x*26, below*below*900+below*120, 97) - 0.5) * below * 0.16
	c := landscape(x+ripple, horizon-below*1.7-math.Abs(ripple))
	return c.mix(hex(0x12304a), 0.28+below*1.3)
}

// hills is fractal noise of one variable in about 0…1.
func hills(x, seed float64) float64 {
	sum, weight := 0.0, 0.5
	for octave := range 6 {
		sum += weight * noise(x, seed*1.7, float64(octave)*13+seed)
		x, weight = x*2.03, weight*0.5
	}
	return sum
}

// peaks is hills folded so that they have edges at the top, as mountains do.
func peaks(x, seed float64) float64 {
	sum, weight := 0.0, 0.55
	for octave := range 6 {
		sum += weight * (1 - math.Abs(2*noise(x, seed*1.3, float64(octave)*17+seed)-1))
		x, weight = x*2.1, weight*0.46
	}
	return sum
}

// noise is smooth value noise in 0…1.
func noise(x, y, seed float64) float64 {
	fx, fy := math.Floor(x), math.Floor(y)
	tx, ty := smooth(x-fx), smooth(y-fy)
	top := lattice(fx, fy, seed)*(1-tx) + lattice(fx+1, fy, seed)*tx
	bottom := lattice(fx, fy+1, seed)*(1-tx) + lattice(fx+1, fy+1, seed)*tx
	return top*(1-ty) + bottom*ty
}

// lattice hashes a grid point with integers: floating-point functions may differ in their last bits between processors.
func lattice(x, y, seed float64) float64 {
	h := uint64(int64(x))*0x9e3779b97f4a7c15 ^ uint64(int64(y))*0xc2b2ae3d27d4eb4f ^ uint64(int64(seed*16))*0x165667b19e3779f9
	h ^= h >> 29
	h *= 0xbf58476d1ce4e5b9
	h ^= h >> 32
	return float64(h>>40) / (1 << 24)
}

func smooth(t float64) float64 {
	t = math.Max(0, math.Min(1, t))
	return t * t * (3 - 2*t)
}
