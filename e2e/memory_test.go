package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testenv"
)

// workersLimit is all the memory that the workers of TestHostileImagesInLittleMemory have, with whatever else runs in their group.
const workersLimit = 512 << 20

// TestHostileImagesInLittleMemory gives workers 200 hostile pictures at once, and ordinary ones between them, in a control group of 512 MiB. Nothing
// is killed, each hostile picture fails by its own fault, and the ordinary ones succeed.
func TestHostileImagesInLittleMemory(t *testing.T) {
	hostile, large := hostileImages(t, 200), photo(t, 4032, 3024)
	for _, mode := range []string{"embedded", "production"} {
		t.Run(mode, func(t *testing.T) {
			// Four jobs at once in each of two processes: more than there is memory for.
			env := []string{"MILLRACE_CPU=4"}
			group := testenv.NewMemoryGroup(t, workersLimit)
			if group == nil {
				t.Log("no control group can be made here: GOMEMLIMIT and the budget stand for it, and resident memory is watched")
				env = append(env, "MILLRACE_MEMORY=128MiB", "GOMEMLIMIT=192MiB")
			}
			s := newTarget(startIn(t, group, mode, env...))
			before := s.workers("worker")
			bad, good := s.submitMixed(t, hostile, large)
			for i, id := range bad {
				checkImageRefused(t, hostile[i], s.on(t).finish(id))
			}
			for _, id := range good {
				checkEnded(t, s.on(t).finish(id))
			}
			s.checkShared(t)
			if after := s.workers("worker"); fmt.Sprint(pidsIn(before)) != fmt.Sprint(pidsIn(after)) {
				t.Errorf("workers were %v and are %v: one died", pidsIn(before), pidsIn(after))
			}
			if group != nil {
				if kills := group.Kills(t); kills > 0 {
					t.Errorf("%d processes were killed", kills)
				}
				t.Logf("peak of the group: %d MiB", group.Peak()>>20)
			}
			s.checkPeak(t, workersLimit/2)
			s.checkWorks(t)
		})
	}
}

func pidsIn(workers []workerInfo) map[int]bool {
	pids := make(map[int]bool)
	for _, w := range workers {
		pids[w.PID] = true
	}
	return pids
}

// submitMixed uploads everything, and then submits it: a good picture behind each ten of the hostile ones.
func (s *target) submitMixed(t *testing.T, hostile []hostileImage, large []byte) (bad, good []string) {
	t.Helper()
	c := s.on(t)
	var specs []string
	for i, h := range hostile {
		f := c.upload(escape(h.name), h.data)
		specs = append(specs, fmt.Sprintf(`{"type":"image.resize","input":{"file":%q},"params":{"width":%d}}`, f.ID, 100+i))
		if i%10 == 0 {
			f := c.upload("photo.jpg", large)
			specs = append(specs, fmt.Sprintf(`{"type":"image.resize","input":{"file":%q},"params":{"width":%d},"tags":["good"]}`, f.ID, 800+i))
		}
	}
	for _, spec := range specs {
		id := c.submit("%s", spec).ID
		if strings.Contains(spec, `"good"`) {
			good = append(good, id)
		} else {
			bad = append(bad, id)
		}
	}
	return bad, good
}

// checkImageRefused checks that a picture failed at the first attempt that it spent, in words that help.
func checkImageRefused(t *testing.T, h hostileImage, j job) {
	t.Helper()
	if j.State != "failed" || j.Error == nil {
		t.Errorf("%s: %s, error %+v, want %s", h.name, j.State, j.Error, h.codes)
		return
	}
	if !strings.Contains("|"+h.codes+"|", "|"+j.Error.Code+"|") || j.Error.Retryable || j.Attempt != 1 || len(j.Outputs) != 0 {
		t.Errorf("%s: error %+v after %d attempts with %d outputs, want %s", h.name, *j.Error, j.Attempt, len(j.Outputs), h.codes)
	}
	if len(j.Error.Message) < 10 || leak.MatchString(j.Error.Message) {
		t.Errorf("%s: the message %q is no help", h.name, j.Error.Message)
	}
	for _, a := range j.Attempts {
		if a.Outcome != "error" && a.Outcome != "released" {
			t.Errorf("%s: an attempt ended as %s", h.name, a.Outcome)
		}
	}
}

// checkShared sends what the larger collection says is bad, where there is one. It says which of that may succeed.
func (s *target) checkShared(t *testing.T) {
	t.Helper()
	manifest, ok := readManifest[struct{ Images []sharedImage }](t, "images")
	if !ok {
		return
	}
	c := s.on(t)
	ids := make(map[string]string)
	for _, m := range manifest.Images {
		data, err := os.ReadFile(filepath.Join(sharedData, "images", m.File))
		if err != nil {
			t.Fatal(err)
		}
		if m.Expect.Error != "" {
			ids[m.File] = c.submit(`{"type":"image.resize","input":{"file":%q},"params":{"width":99}}`, c.upload(m.File, data).ID).ID
		}
	}
	for name, id := range ids {
		if j := c.finish(id); j.State == "failed" && (j.Error.Retryable || j.Error.Code == "internal" || j.Attempt != 1) {
			t.Errorf("%s: error %+v after %d attempts", name, *j.Error, j.Attempt)
		}
	}
}

// memoryView is what GET /v1/workers says of memory.
type memoryView struct{ Used, Budget int64 }

// TestMemoryOfWorkers holds GET /v1/workers to what a job reserves while it runs, and to nothing when it has ended.
func TestMemoryOfWorkers(t *testing.T) {
	eachMode(t, func(t *testing.T, s *server) {
		memory := func() (sum memoryView) {
			var answer struct {
				Items []struct {
					Role   string
					Memory memoryView
				}
			}
			s.call("GET", "/v1/workers", "", nil, 200, &answer)
			for _, w := range answer.Items {
				if w.Role == "worker" {
					sum.Used += w.Memory.Used
					sum.Budget += w.Memory.Budget
				}
			}
			return sum
		}
		if m := memory(); m.Used != 0 || m.Budget < 2*64<<20 {
			t.Errorf("memory of idle workers = %+v", m)
		}
		f := s.upload("big.bin", noise(64<<20))
		j := s.submit(slowJob, f.ID)
		eventually(t, 30*time.Second, "memory in use", func() bool { return memory().Used > 0 })
		s.call("POST", "/v1/jobs/"+j.ID+"/cancel", "", nil, 200, nil)
		s.finish(j.ID)
		eventually(t, 30*time.Second, "memory given back", func() bool { return memory().Used == 0 })
	})
}
