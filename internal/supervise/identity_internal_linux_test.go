package supervise

import "testing"

func TestParseStat(t *testing.T) {
	t.Parallel()
	tail := " 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20"
	tests := []struct {
		name  string
		stat  string
		start int64
		alive bool
	}{
		{"plain", "7 (go) S" + tail, 4242, true},
		{"a name like a field", "7 (a) R 1) S" + tail, 4242, true},
		{"zombie", "7 (go) Z" + tail, 0, false},
		{"cut", "7 (go) S 1 2 3", 0, false},
		{"empty", "", 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if start, alive := parseStat([]byte(tt.stat)); start != tt.start || alive != tt.alive {
				t.Errorf("parseStat(%q) = %d, %v, want %d, %v", tt.stat, start, alive, tt.start, tt.alive)
			}
		})
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("7 (a b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21"))
	f.Add([]byte("7 ()"))
	f.Fuzz(func(t *testing.T, stat []byte) {
		if start, alive := parseStat(stat); !alive && start != 0 {
			t.Errorf("parseStat(%q) = %d of a process that is not alive", stat, start)
		}
	})
}
