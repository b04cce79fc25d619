package web_test

import (
	"math"
	"os"
	"regexp"
	"strconv"
	"testing"
)

// luminance of an OKLCH colour as WCAG 2.2 defines it, by way of linear sRGB.
func luminance(l, c, h float64) float64 {
	a, b := c*math.Cos(h*math.Pi/180), c*math.Sin(h*math.Pi/180)
	cube := func(v float64) float64 { return v * v * v }
	long, medium, short := cube(l+0.3963377774*a+0.2158037573*b), cube(l-0.1055613458*a-0.0638541728*b), cube(l-0.0894841775*a-1.2914855480*b)
	clip := func(v float64) float64 { return math.Max(0, math.Min(1, v)) }
	red := clip(4.0767416621*long - 3.3077115913*medium + 0.2309699292*short)
	green := clip(-1.2684380046*long + 2.6097574011*medium - 0.3413193965*short)
	blue := clip(-0.0041960863*long - 0.7034186147*medium + 1.7076147010*short)
	return 0.2126*red + 0.7152*green + 0.0722*blue
}

func contrast(a, b float64) float64 {
	return (math.Max(a, b) + 0.05) / (math.Min(a, b) + 0.05)
}

// tokens reads the luminance of each colour token, light and dark.
func tokens(t *testing.T) map[string][2]float64 {
	t.Helper()
	raw, err := os.ReadFile("css/tokens.css")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][2]float64{}
	pattern := regexp.MustCompile(`--([a-z-]+): light-dark\(oklch\(([\d.]+)% ([\d.]+) ([\d.]+)\), oklch\(([\d.]+)% ([\d.]+) ([\d.]+)\)\)`)
	for _, m := range pattern.FindAllStringSubmatch(string(raw), -1) {
		var n [6]float64
		for i := range n {
			if n[i], err = strconv.ParseFloat(m[i+2], 64); err != nil {
				t.Fatal(err)
			}
		}
		all[m[1]] = [2]float64{luminance(n[0]/100, n[1], n[2]), luminance(n[3]/100, n[4], n[5])}
	}
	return all
}

// TestContrast holds every pair of colours that the page uses to WCAG 2.2 AA: 4.5 for text, 3 for the edges of controls.
func TestContrast(t *testing.T) {
	t.Parallel()
	all := tokens(t)
	for _, pair := range []struct {
		front, back string
		least       float64
	}{
		{"text", "page", 4.5}, {"text", "surface", 4.5}, {"text", "sunken", 4.5}, {"quiet", "page", 4.5}, {"quiet", "surface", 4.5}, {"quiet", "sunken", 4.5},
		{"accent", "surface", 4.5}, {"accent", "page", 4.5}, {"accent", "sunken", 4.5}, {"on-accent", "accent", 4.5}, {"surface", "bad", 4.5},
		{"ok", "surface", 4.5}, {"bad", "surface", 4.5}, {"bad", "page", 4.5}, {"warn", "surface", 4.5}, {"edge", "surface", 3}, {"edge", "page", 3},
	} {
		front, ok := all[pair.front]
		back, too := all[pair.back]
		if !ok || !too {
			t.Fatalf("tokens.css has no %s or no %s", pair.front, pair.back)
		}
		for i, theme := range []string{"light", "dark"} {
			if got := contrast(front[i], back[i]); got < pair.least {
				t.Errorf("%s: %s on %s = %.2f, want at least %.1f", theme, pair.front, pair.back, got, pair.least)
			}
		}
	}
}
