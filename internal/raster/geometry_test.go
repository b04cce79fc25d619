package raster

import (
	"bytes"
	"os"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/tasks"
)

func TestFit(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		w, h    int
		params  tasks.ResizeParams
		scaledW int
		scaledH int
		window  box
		canvasW int
		canvasH int
		offset  [2]int
	}{
		{"nothing asked", 640, 480, tasks.ResizeParams{}, 640, 480, box{0, 0, 640, 480}, 640, 480, [2]int{}},
		{"width", 4032, 3024, tasks.ResizeParams{Width: 800}, 800, 600, box{0, 0, 800, 600}, 800, 600, [2]int{}},
		{"height", 4032, 3024, tasks.ResizeParams{Height: 100}, 133, 100, box{0, 0, 133, 100}, 133, 100, [2]int{}},
		{"a side is never 0", 20000, 1, tasks.ResizeParams{Width: 100}, 100, 1, box{0, 0, 100, 1}, 100, 1, [2]int{}},
		{"rounds half up", 200, 101, tasks.ResizeParams{Width: 100}, 100, 51, box{0, 0, 100, 51}, 100, 51, [2]int{}},
		{"not enlarged", 100, 50, tasks.ResizeParams{Width: 800}, 100, 50, box{0, 0, 100, 50}, 100, 50, [2]int{}},
		{"tall and not enlarged", 1, 20000, tasks.ResizeParams{Width: 100}, 1, 20000, box{0, 0, 1, 20000}, 1, 20000, [2]int{}},
		{"enlarged", 100, 50, tasks.ResizeParams{Width: 800, Enlarge: true}, 800, 400, box{0, 0, 800, 400}, 800, 400, [2]int{}},
		{"inside", 400, 200, tasks.ResizeParams{Width: 100, Height: 100, Fit: tasks.Inside}, 100, 50, box{0, 0, 100, 50}, 100, 50, [2]int{}},
		{"outside", 400, 200, tasks.ResizeParams{Width: 100, Height: 100, Fit: tasks.Outside}, 200, 100, box{0, 0, 200, 100}, 200, 100, [2]int{}},
		{"fill", 400, 200, tasks.ResizeParams{Width: 100, Height: 100, Fit: tasks.Fill}, 100, 100, box{0, 0, 100, 100}, 100, 100, [2]int{}},
		{"fill, one side bounded", 400, 50, tasks.ResizeParams{Width: 100, Height: 100, Fit: tasks.Fill}, 100, 50, box{0, 0, 100, 50}, 100, 50, [2]int{}},
		{"cover, center", 400, 200, tasks.ResizeParams{Width: 101, Height: 100, Fit: tasks.Cover, Gravity: "center"}, 200, 100, box{49, 0, 101, 100}, 101, 100, [2]int{}},
		{"cover, east", 400, 200, tasks.ResizeParams{Width: 100, Height: 100, Fit: tasks.Cover, Gravity: "east"}, 200, 100, box{100, 0, 100, 100}, 100, 100, [2]int{}},
		{"cover, northwest of a tall one", 200, 400, tasks.ResizeParams{Width: 100, Height: 100, Fit: tasks.Cover, Gravity: "northwest"}, 100, 200, box{0, 0, 100, 100}, 100, 100, [2]int{}},
		{"cover, south of a tall one", 200, 400, tasks.ResizeParams{Width: 100, Height: 100, Fit: tasks.Cover, Gravity: "south"}, 100, 200, box{0, 100, 100, 100}, 100, 100, [2]int{}},
		{"cover too large keeps its shape", 400, 200, tasks.ResizeParams{Width: 1000, Height: 1000, Fit: tasks.Cover, Gravity: "west"}, 400, 200, box{0, 0, 200, 200}, 200, 200, [2]int{}},
		{"cover enlarged", 400, 200, tasks.ResizeParams{Width: 1000, Height: 1000, Fit: tasks.Cover, Enlarge: true}, 2000, 1000, box{500, 0, 1000, 1000}, 1000, 1000, [2]int{}},
		{"contain", 400, 200, tasks.ResizeParams{Width: 100, Height: 100, Fit: tasks.Contain, Gravity: "center"}, 100, 50, box{0, 0, 100, 50}, 100, 100, [2]int{0, 25}},
		{"contain, south", 400, 200, tasks.ResizeParams{Width: 100, Height: 100, Fit: tasks.Contain, Gravity: "south"}, 100, 50, box{0, 0, 100, 50}, 100, 100, [2]int{0, 50}},
		{"contain a small one", 40, 20, tasks.ResizeParams{Width: 100, Height: 100, Fit: tasks.Contain, Gravity: "southeast"}, 40, 20, box{0, 0, 40, 20}, 100, 100, [2]int{60, 80}},
		{"contain, enlarged", 40, 20, tasks.ResizeParams{Width: 100, Height: 100, Fit: tasks.Contain, Enlarge: true}, 100, 50, box{0, 0, 100, 50}, 100, 100, [2]int{0, 25}},
		{"huge proportions", 65535, 1, tasks.ResizeParams{Width: 16384, Height: 16384, Fit: tasks.Cover, Enlarge: true}, 1073725440, 16384, box{536854528, 0, 16384, 16384}, 16384, 16384, [2]int{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := fit(tt.w, tt.h, tt.params)
			want := fitted{tt.scaledW, tt.scaledH, tt.window, tt.canvasW, tt.canvasH, tt.offset[0], tt.offset[1]}
			if got != want {
				t.Errorf("fit(%d, %d) = %+v, want %+v", tt.w, tt.h, got, want)
			}
		})
	}
}

func TestPlanCutsWhereThePictureIsStored(t *testing.T) {
	t.Parallel()
	p := tasks.ResizeParams{Width: 10, Crop: &tasks.Crop{X: 0, Y: 0, Width: 20, Height: 40}}
	for _, tt := range []struct {
		orientation Orientation
		want        box // where the upper left corner of the upright picture, 20 × 40, lies in the stored one
	}{
		{1, box{0, 0, 20, 40}}, {2, box{80, 0, 20, 40}}, {3, box{80, 160, 20, 40}}, {4, box{0, 160, 20, 40}},
		{5, box{0, 0, 40, 20}}, {6, box{0, 180, 40, 20}}, {7, box{60, 180, 40, 20}}, {8, box{60, 0, 40, 20}},
	} {
		g, err := plan(100, 200, tt.orientation.turn(), p)
		if err != nil || g.source != tt.want {
			t.Errorf("orientation %d: source %v, %v, want %v", tt.orientation, g.source, err, tt.want)
		}
		if g.canvasW != 10 || g.canvasH != 20 {
			t.Errorf("orientation %d: output %d × %d, want 10 × 20", tt.orientation, g.canvasW, g.canvasH)
		}
	}
}

func TestPlanRefusesACropBeyondThePicture(t *testing.T) {
	t.Parallel()
	_, err := plan(100, 200, Orientation(6).turn(), tasks.ResizeParams{Crop: &tasks.Crop{X: 0, Y: 1, Width: 200, Height: 100}})
	e, ok := err.(*millrace.Error)
	if !ok || e.Code != millrace.CodeInvalidInput {
		t.Errorf("plan = %v, want invalid_input", err)
	}
}

// turned applies a turn to a grid of letters by its definition, as the reference for what the code makes of it.
func turned(grid []string, u turn) []string {
	h, w := len(grid), len(grid[0])
	at := func(x, y int) byte {
		if u.flipX {
			x = w - 1 - x
		}
		if u.flipY {
			y = h - 1 - y
		}
		return grid[y][x]
	}
	ow, oh := u.size(w, h)
	out := make([]string, oh)
	for y := range oh {
		row := make([]byte, ow)
		for x := range ow {
			if u.swap {
				row[x] = at(y, x)
			} else {
				row[x] = at(x, y)
			}
		}
		out[y] = string(row)
	}
	return out
}

func TestOrientations(t *testing.T) {
	t.Parallel()
	want := map[Orientation][]string{
		1: {"ab", "cd", "ef"}, 2: {"ba", "dc", "fe"}, 3: {"fe", "dc", "ba"}, 4: {"ef", "cd", "ab"},
		5: {"ace", "bdf"}, 6: {"eca", "fdb"}, 7: {"fdb", "eca"}, 8: {"bdf", "ace"}, 0: {"ab", "cd", "ef"}, 9: {"ab", "cd", "ef"},
	}
	for o, w := range want {
		if got := turned(want[1], o.turn()); !equal(got, w) {
			t.Errorf("orientation %d: %v, want %v", o, got, w)
		}
	}
}

func TestTurnsAddUp(t *testing.T) {
	t.Parallel()
	grid := []string{"abc", "def"}
	for a := Orientation(1); a <= 8; a++ {
		for b := Orientation(1); b <= 8; b++ {
			step := turned(turned(grid, a.turn()), b.turn())
			if once := turned(grid, a.turn().then(b.turn())); !equal(once, step) {
				t.Errorf("%d then %d: %v, want %v", a, b, once, step)
			}
		}
	}
	if got := turned(grid, upright(6, 270, true, false)); !equal(got, []string{"def", "abc"}) {
		t.Errorf("turned upright, back by 270° and flipped: %v", got)
	}
	if got := turned(grid, upright(1, 90, false, true)); !equal(got, []string{"ad", "be", "cf"}) {
		t.Errorf("turned by 90° and flopped: %v", got)
	}
}

func equal(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// TestSharedSmartCrop holds a photograph to what its manifest says: the bird's head is in the crop.
func TestSharedSmartCrop(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../../shared/testdata/images/smart-crop.jpg")
	if err != nil {
		t.Skip("no collection of pictures beside the repository")
	}
	h, err := readHeader(bytes.NewReader(data), int64(len(data)), DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	p := tasks.Resize().Defaults
	p.Width, p.Height, p.Fit, p.Gravity = 600, 1080, tasks.Cover, tasks.GravitySmart
	j, err := New().newJob(h, p)
	if err != nil {
		t.Fatal(err)
	}
	m, err := decodeJPEG(bytes.NewReader(data), h, j.fast, j.denom)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.focus(t.Context(), decoded{image: m, denom: j.denom}); err != nil {
		t.Fatal(err)
	}
	if w := j.outputs[0].geometry.window; w.x > 1290 || w.x+w.w < 1400 || w.w != 600 || w.h != 1080 {
		t.Errorf("the crop is %+v: the bird at 1290…1400 is not in it", w)
	}
}
