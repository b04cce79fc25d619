//go:build faults && unix

package fault_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/fault"
)

func TestOrders(t *testing.T) {
	tests := []struct {
		name, order, child string
		tags               []string
		want               []bool // does Error answer one, each time it is asked
	}{
		{"none", "", "", nil, []bool{false, false}},
		{"once", "error", "", nil, []bool{true, false}},
		{"kept", "error keep", "", nil, []bool{true, true}},
		{"every third", "error every=3", "", nil, []bool{false, false, true, false}},
		{"another child", "error child=core", "worker", nil, []bool{false}},
		{"this child", "error child=core", "core", nil, []bool{true}},
		{"not in quarantine", "error", "quarantine", nil, []bool{false}},
		{"a job that is not this one", "error tag=poison", "worker", nil, []bool{false}},
		{"senseless", "error every=x", "", nil, []bool{false}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			t.Setenv("MILLRACE_FAULTS", dir)
			t.Setenv("MILLRACE_CHILD", tt.child)
			point := "point-" + strings.ReplaceAll(tt.name, " ", "-") // the count is the process's
			if err := os.WriteFile(filepath.Join(dir, point), []byte(tt.order), 0o600); err != nil {
				t.Fatal(err)
			}
			struck := 0
			for i, want := range tt.want {
				err := fault.Error(point)
				if (err != nil) != want {
					t.Errorf("the %d. time: %v, want an error: %v", i+1, err, want)
				}
				if err != nil {
					struck++
				}
			}
			log, _ := os.ReadFile(filepath.Join(dir, "strikes.log"))
			if n := strings.Count(string(log), point+" error"); n != struck {
				t.Errorf("%d strikes were written down, want %d:\n%s", n, struck, log)
			}
		})
	}
}

func TestSleepForOneJob(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("MILLRACE_FAULTS", dir)
	t.Setenv("MILLRACE_CHILD", "quarantine")
	if err := os.WriteFile(filepath.Join(dir, "slow"), []byte("sleep 20ms tag=it keep"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		tags []string
		min  time.Duration
	}{{[]string{"other"}, 0}, {[]string{"x", "it"}, 20 * time.Millisecond}} {
		began := time.Now()
		fault.For("slow", tt.tags)
		if took := time.Since(began); took < tt.min {
			t.Errorf("tags %v: took %v, want %v", tt.tags, took, tt.min)
		}
	}
}

func TestShorterDuration(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("MILLRACE_FAULTS", dir)
	if d := fault.Duration("grace", time.Hour); d != time.Hour {
		t.Errorf("Duration = %v, want the normal one", d)
	}
	if err := os.WriteFile(filepath.Join(dir, "grace"), []byte("3s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if d := fault.Duration("grace", time.Hour); d != 3*time.Second {
		t.Errorf("Duration = %v, want 3s", d)
	}
}
