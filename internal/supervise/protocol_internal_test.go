package supervise

import (
	"slices"
	"testing"
	"time"
)

func TestBackoff(t *testing.T) {
	t.Parallel()
	tests := []struct {
		max  time.Duration
		want []time.Duration
	}{
		{10 * time.Second, []time.Duration{100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000}},
		{time.Second, []time.Duration{100, 200, 400, 800, 1000, 1000}},
		{50 * time.Millisecond, []time.Duration{50, 50}},
	}
	for _, tt := range tests {
		b := backoff{max: tt.max}
		for i, want := range tt.want {
			if got := b.next(); got != want*time.Millisecond {
				t.Errorf("max %s: delay %d = %s, want %dms", tt.max, i, got, want)
			}
		}
		b.reset()
		if got := b.next(); got != min(firstDelay, tt.max) {
			t.Errorf("max %s: delay after reset = %s", tt.max, got)
		}
	}
}

func FuzzParseInherited(f *testing.F) {
	f.Add("report=3,lifeline=4,file:http=5,file:a=b=6")
	f.Add("report=,=3")
	f.Add("file:x=-1")
	f.Fuzz(func(t *testing.T, list string) {
		in, err := parseInherited(list)
		if err != nil {
			return
		}
		for _, fd := range in.all() {
			if fd < firstExtraFile {
				t.Errorf("parseInherited(%q) took descriptor %d, which is the process's own", list, fd)
			}
		}
	})
}

func TestParseInherited(t *testing.T) {
	t.Parallel()
	in, err := parseInherited("report=3,lifeline=4,file:http=5,file:a=b=6")
	if err != nil {
		t.Fatal(err)
	}
	if in.report != 3 || in.lifeline != 4 || in.files["http"] != 5 || in.files["a=b"] != 6 {
		t.Errorf("parseInherited = %+v", in)
	}
	fds := in.all()
	slices.Sort(fds)
	if !slices.Equal(fds, []int{3, 4, 5, 6}) {
		t.Errorf("all = %v, want 3 to 6", fds)
	}
	for _, bad := range []string{"", "report", "report=2", "report=x", "other=3"} {
		if _, err := parseInherited(bad); err == nil {
			t.Errorf("parseInherited(%q) = nil, want an error", bad)
		}
	}
}
