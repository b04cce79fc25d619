package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace"
)

// TestDashboard looks at asynq's own page over the in-process Redis and over a real one.
func TestDashboard(t *testing.T) {
	browser := startBrowser(t)
	eachMode(t, func(t *testing.T, s *server) {
		t.Run("page", func(t *testing.T) { jobOnDashboard(t, s, openTab(t, browser, s.url, false)) })
		t.Run("read-only", func(t *testing.T) { dashboardReadOnly(t, s) })
	})
}

// checkDashboard opens the page and a queue of it. What its policy refuses, or another host is asked for, fails the tab.
func (b *tab) checkDashboard() {
	b.Helper()
	b.open("/dashboard")
	b.wait(`document.querySelector("#root")?.innerText.includes("cpu.normal")`)
	b.wait(`document.querySelector("#root")?.innerText.includes("io.low")`)
	b.open("/dashboard/queues/cpu.normal")
	b.wait(`document.querySelector("#root")?.innerText.toLowerCase().includes("no active tasks") || document.querySelector("#root table")`)
}

// jobOnDashboard finds a running job's delivery on asynq's page, by the job's id and type, and without what is in it.
func jobOnDashboard(t *testing.T, s *server, b *tab) {
	f := s.upload("big.bin", noise(64<<20))
	var jobs []job
	for range 12 { // seconds of work for two processes: some of it is active while the browser looks
		jobs = append(jobs, s.submit(slowJob, f.ID))
	}
	b.checkDashboard()
	b.waitText("#root table", "file.compress")
	shown := b.text("#root table")
	if !strings.Contains(shown, jobs[0].ID[:8]) {
		t.Errorf("the table of active tasks is %q, want the job %s in it", shown, jobs[0].ID)
	}
	b.shot("dashboard-" + s.mode)
	var tasks struct {
		Tasks []struct{ ID, Type, Payload string }
	}
	if err := json.Unmarshal(s.bytes("/dashboard/api/queues/cpu.normal/active_tasks"), &tasks); err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks.Tasks {
		known := slices.ContainsFunc(jobs, func(j job) bool { return strings.HasPrefix(task.ID, j.ID+".") })
		if !known || task.Payload != "-" {
			t.Errorf("delivery on the dashboard = %+v, want a job's id with its fence, and no payload", task)
		}
	}
	if len(tasks.Tasks) == 0 {
		t.Error("no delivery was active any more: the job is too short for this test")
	}
	for _, j := range jobs {
		if status, _, raw, err := s.do("POST", "/v1/jobs/"+j.ID+"/cancel", "", nil); err != nil || status != http.StatusOK && status != http.StatusConflict {
			t.Errorf("cancel %s = %d, %v: %s", j.ID, status, err, raw)
		}
	}
	for _, j := range jobs {
		s.finish(j.ID)
	}
}

func dashboardReadOnly(t *testing.T, s *server) {
	for _, path := range []string{"queues/cpu.normal:pause", "queues/cpu.normal/pending_tasks:delete_all"} {
		for _, method := range []string{"POST", "DELETE"} {
			if status, _, _, err := s.do(method, "/dashboard/api/"+path, "", nil); err != nil || status != http.StatusMethodNotAllowed {
				t.Errorf("%s /dashboard/api/%s = %d, %v, want 405", method, path, status, err)
			}
		}
	}
	var queues struct{ Queues []struct{ Paused bool } }
	if err := json.Unmarshal(s.bytes("/dashboard/api/queues"), &queues); err != nil {
		t.Fatal(err)
	}
	if len(queues.Queues) != len(millrace.Queues()) || strings.Contains(fmt.Sprint(queues.Queues), "true") {
		t.Errorf("queues = %+v, want %d, none paused", queues.Queues, len(millrace.Queues()))
	}
}
