package e2e_test

import (
	"bytes"
	"encoding/json"
	"image"
	"image/color"
	_ "image/gif"
	_ "image/jpeg"
	_ "image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// sharedData is a larger collection of inputs beside the repository, with manifests of what is expected of each. The suite runs where it is.
const sharedData = "../../shared/testdata"

// sharedImage is one entry of the collection's manifest of pictures.
type sharedImage struct {
	File   string
	Expect struct {
		Width, Height, Frames int
		Format, Error         string
	}
	Check struct {
		Corners   map[string][3]float64
		Pixels    [][3]any     // x, y, [r, g, b]
		AlphaAt   [][3]float64 `json:"alpha_at"`
		Tolerance float64
		Gray      bool
		NoBlue    bool      `json:"no_blue_fringe"`
		Half      []float64 `json:"flat_after_half"`
		Absent    []string  `json:"absent_in_output"`
		Frames    []int     `json:"frames_allowed"`
	}
}

// resizeResult is the result of image.resize.
type resizeResult struct {
	Width, Height int
	Format        string
	Source        struct {
		Width, Height, Frames int
		Format                string
	}
}

func readManifest[T any](t *testing.T, dir string) (T, bool) {
	t.Helper()
	var manifest T
	raw, err := os.ReadFile(filepath.Join(sharedData, dir, "manifest.json"))
	if err != nil {
		t.Logf("no collection of %s beside the repository", dir)
		return manifest, false
	}
	if err := json.Unmarshal(raw, &manifest); err != nil {
		t.Fatal(err)
	}
	return manifest, true
}

// TestSharedImages sends every picture of the collection through a server.
func TestSharedImages(t *testing.T) {
	manifest, ok := readManifest[struct{ Images []sharedImage }](t, "images")
	if !ok {
		return
	}
	s := newTarget(start(t, "embedded"))
	for _, m := range manifest.Images {
		data, err := os.ReadFile(filepath.Join(sharedData, "images", m.File))
		if err != nil {
			t.Fatal(err)
		}
		t.Run(m.File, func(t *testing.T) { s.checkImage(t, m, s.on(t).upload(m.File, data)) })
	}
	s.checkPeak(t, inputLimit)
	s.checkWorks(t)
}

// resize runs image.resize on a file to its end.
func (s *target) resize(t *testing.T, f file, params string) job {
	t.Helper()
	c := s.on(t)
	var j job
	c.call("POST", "/v1/jobs?wait=60s", "application/json", []byte(`{"type":"image.resize","cache":false,"input":{"file":"`+f.ID+`"},"params":`+params+`}`), 200, &j)
	return j
}

func (s *target) checkImage(t *testing.T, m sharedImage, f file) {
	// The picture as it is, as PNG: its pixels are then what the decoder saw.
	j := s.resize(t, f, `{"format":"png"}`)
	if m.Expect.Error != "" {
		codes := strings.Split(strings.Replace(m.Expect.Error, "unsupported_or", "unsupported_format_or", 1), "_or_")
		if j.State == "succeeded" && slices.Contains(codes, "ok") {
			return
		}
		// A still output of an animation may use its first frame, so one that breaks behind it may succeed; the manifest says so.
		if j.State == "succeeded" && strings.HasSuffix(m.File, ".gif") {
			t.Logf("%s: its first frame was taken", m.File)
			return
		}
		checkFailed(t, m.File, j, strings.Join(codes, "|"), "")
		return
	}
	var result resizeResult
	if j.State != "succeeded" || json.Unmarshal(j.Result, &result) != nil {
		t.Errorf("%s, error %+v, want %d x %d", j.State, j.Error, m.Expect.Width, m.Expect.Height)
		return
	}
	if result.Source.Format != m.Expect.Format || result.Width != m.Expect.Width || result.Height != m.Expect.Height {
		t.Errorf("result = %+v, want %d x %d from %s", result, m.Expect.Width, m.Expect.Height, m.Expect.Format)
	}
	frames := append([]int{m.Expect.Frames}, m.Check.Frames...)
	if got := max(result.Source.Frames, 1); !slices.Contains(frames, got) {
		t.Errorf("source.frames = %d, want %v", got, frames)
	}
	picture, _, err := image.Decode(bytes.NewReader(s.on(t).bytes("/v1/jobs/" + j.ID + "/output")))
	if err != nil {
		t.Fatalf("the output: %v", err)
	}
	if got := picture.Bounds().Size(); got != image.Pt(m.Expect.Width, m.Expect.Height) {
		t.Errorf("the output is %v, want %d x %d", got, m.Expect.Width, m.Expect.Height)
	}
	checkPixels(t, m, picture)
	s.checkSmaller(t, m, f)
}

// at is the colour at a place given in fractions, in 0 to 255, not premultiplied.
func at(picture image.Image, x, y float64) (c color.NRGBA) {
	b := picture.Bounds()
	c, _ = color.NRGBAModel.Convert(picture.At(b.Min.X+min(int(x*float64(b.Dx())), b.Dx()-1), b.Min.Y+min(int(y*float64(b.Dy())), b.Dy()-1))).(color.NRGBA)
	return c
}

func checkColor(t *testing.T, where string, got color.NRGBA, want [3]float64, tolerance float64) {
	t.Helper()
	for i, v := range []uint8{got.R, got.G, got.B} {
		if math.Abs(float64(v)-want[i]) > tolerance {
			t.Errorf("%s is %v, want %v within %v", where, got, want, tolerance)
			return
		}
	}
}

func checkPixels(t *testing.T, m sharedImage, picture image.Image) {
	t.Helper()
	for name, place := range map[string][2]float64{"top_left": {.06, .06}, "top_right": {.94, .06}, "bottom_left": {.06, .94}, "bottom_right": {.94, .94}} {
		if want, ok := m.Check.Corners[name]; ok {
			checkColor(t, name, at(picture, place[0], place[1]), want, m.Check.Tolerance)
		}
	}
	for _, p := range m.Check.Pixels {
		x, _ := p[0].(float64)
		y, _ := p[1].(float64)
		var want [3]float64
		if list, ok := p[2].([]any); ok {
			for i := range want {
				want[i], _ = list[i].(float64)
			}
		}
		checkColor(t, "the pixel at a given place", at(picture, x, y), want, m.Check.Tolerance)
	}
	for _, p := range m.Check.AlphaAt {
		if got := float64(at(picture, p[0], p[1]).A); math.Abs(got-p[2]) > 8 {
			t.Errorf("alpha at %v, %v = %v, want %v", p[0], p[1], got, p[2])
		}
	}
	if m.Check.Gray {
		for i := range 100 {
			c := at(picture, float64(i%10)/10, float64(i/10)/10)
			if max(c.R, c.G, c.B)-min(c.R, c.G, c.B) > 2 {
				t.Errorf("a grey picture holds the colour %v", c)
				break
			}
		}
	}
}

// checkSmaller asks for what shows only when a picture is shrunk, or kept in its own format.
func (s *target) checkSmaller(t *testing.T, m sharedImage, f file) {
	if m.Check.NoBlue {
		small := s.resized(t, f, `{"width":97,"format":"png"}`)
		for i := range 97 * 97 {
			if c := at(small, float64(i%97)/97, float64(i/97)/97); c.A > 8 && c.B > 8 {
				t.Errorf("a bluish pixel %v at the edge of the disc", c)
				break
			}
		}
	}
	if m.Check.Half != nil {
		c := at(s.resized(t, f, `{"width":256,"height":256,"fit":"fill","format":"png"}`), .5, .5)
		if !slices.ContainsFunc(m.Check.Half, func(want float64) bool { return math.Abs(float64(c.R)-want) <= 4 }) {
			t.Errorf("one-pixel lines at half the size are %v, want one of %v", c, m.Check.Half)
		}
	}
	if m.Check.Absent != nil {
		j := s.resize(t, f, `{"width":64}`)
		raw := s.on(t).bytes("/v1/jobs/" + j.ID + "/output")
		for _, secret := range m.Check.Absent {
			if bytes.Contains(raw, []byte(secret)) {
				t.Errorf("the output holds %q", secret)
			}
		}
	}
	if m.Expect.Width >= 50*m.Expect.Height || m.Expect.Height >= 50*m.Expect.Width {
		thin := s.resize(t, f, `{"width":100,"height":100,"format":"png"}`)
		var result resizeResult
		if err := json.Unmarshal(thin.Result, &result); err != nil || min(result.Width, result.Height) != 1 || max(result.Width, result.Height) > 100 {
			t.Errorf("a thin picture in 100 x 100 = %+v, %v, error %+v", result, err, thin.Error)
		}
	}
}

func (s *target) resized(t *testing.T, f file, params string) image.Image {
	t.Helper()
	j := s.resize(t, f, params)
	picture, _, err := image.Decode(bytes.NewReader(s.on(t).bytes("/v1/jobs/" + j.ID + "/output")))
	if err != nil {
		t.Fatalf("resize with %s: %v, error %+v", params, err, j.Error)
	}
	return picture
}
