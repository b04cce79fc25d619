package sqlite_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/sqlite"
)

func newJob() *millrace.Job {
	return &millrace.Job{
		ID: uuid.Must(uuid.NewV7()).String(), Tenant: "t", Type: "compute.checksum", State: millrace.Queued, Priority: millrace.Normal,
		Queue: "cpu.normal", Params: []byte(`{"algorithms":["sha256"]}`), Run: 1, MaxAttempts: 5, Fence: 1,
	}
}

func insert(t testing.TB, l *sqlite.Ledger, n int) []store.Delivery {
	t.Helper()
	rows := make([]store.NewJob, n)
	deliveries := make([]store.Delivery, n)
	for i := range rows {
		rows[i].Job = newJob()
		rows[i].Deadline = time.Now().Add(time.Hour)
		deliveries[i] = store.Delivery{Job: rows[i].ID, Fence: 1}
	}
	for _, err := range l.Insert(t.Context(), rows) {
		if err != nil {
			t.Fatalf("Insert: %v", err)
		}
	}
	return deliveries
}

func register(t testing.TB, l *sqlite.Ledger) string {
	t.Helper()
	w := millrace.Worker{ID: uuid.Must(uuid.NewV7()).String(), Host: "mill"}
	if err := l.Register(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	return w.ID
}

// TestPlans holds the statements of the hot path to their indexes, also with statistics that were taken in a quiet hour before a burst: then a
// partial index whose predicate repeats the guard looks cheaper than the primary key and is read from end to end.
func TestPlans(t *testing.T) {
	t.Parallel()
	l := open(t, &clock{})
	const byID = "USING INDEX sqlite_autoindex_jobs_1 (id=?)"
	want := map[string]string{
		"claim":         byID,
		"claimed":       byID,
		"finish":        byID,
		"cancel":        byID,
		"retry":         byID,
		"fail overdue":  byID,
		"quarantine":    byID,
		"holds":         byID,
		"mark":          byID,
		"owed new":      "SEARCH jobs USING INDEX jobs_owed (queue=? AND sent_gen=? AND due_at<?)",
		"owed old":      "SEARCH jobs USING INDEX jobs_owed (queue=? AND sent_gen>? AND sent_gen<?)",
		"quarantined":   "SEARCH jobs USING COVERING INDEX jobs_owed (queue=?)",
		"rescuable":     "SEARCH j USING INDEX jobs_owner (worker_id>?)",
		"forceable":     "SEARCH jobs USING INDEX jobs_owner (worker_id>?)",
		"overdue":       "SEARCH jobs USING INDEX jobs_deadline (deadline<?)",
		"late waiting":  "SEARCH jobs USING INDEX jobs_waiting_deadline (deadline<?)",
		"group":         "SEARCH g USING PRIMARY KEY (tenant=? AND cache_key=?)",
		"part":          "SEARCH equal_groups USING PRIMARY KEY (tenant=? AND cache_key=?)",
		"waiting":       "SEARCH jobs USING INDEX jobs_waiting (waits_for=?)",
		"end waiting":   byID,
		"promote":       byID,
		"rejoin":        byID,
		"shared":        "SEARCH b USING INDEX sqlite_autoindex_blobs_1 (key=?)",
		"owed releases": "SEARCH equal_releases USING PRIMARY KEY (id>?)",
		"walk":          "SEARCH g USING PRIMARY KEY ((tenant,cache_key)>(?,?))",
		"walk followed": "SEARCH g USING INDEX equal_groups_followed (id>?)",
		"list":          "SEARCH jobs USING INDEX jobs_list (tenant=? AND id<?)",
		"list tag":      "job_tags USING PRIMARY KEY (tenant=? AND tag=? AND job<?)",
		"later":         "SEARCH jobs USING INDEX jobs_owed (queue=? AND sent_gen=? AND due_at>?)",
		"answer":        "SEARCH idempotency_keys USING PRIMARY KEY (tenant=? AND key=?)",
		"holder":        "SEARCH unique_keys USING PRIMARY KEY (tenant=? AND key=?)",
		"free":          "SEARCH unique_keys USING PRIMARY KEY (tenant=? AND key=?)",
		"old keys":      "SEARCH idempotency_keys USING COVERING INDEX idempotency_keys_age (created_at<?)",
		"over keys":     "SEARCH unique_keys USING COVERING INDEX unique_keys_expire (expires_at<?)",
		"deliveries":    "SEARCH webhook_deliveries USING INDEX webhook_deliveries_job (job=?)",
		"drop owed":     "SEARCH webhook_deliveries USING INDEX webhook_deliveries_job (job=?)",
		"schedule":      "SEARCH schedules USING PRIMARY KEY (tenant=? AND name=?)",
		"schedules":     "SEARCH schedules USING PRIMARY KEY (tenant=? AND name>?)",
		"due schedules": "SEARCH schedules USING INDEX schedules_due ((next_run_at,tenant,name)>(?,?,?) AND next_run_at<?)",
		"tick":          "SEARCH schedules USING PRIMARY KEY (tenant=? AND name=?)",
		"preset":        "SEARCH presets USING PRIMARY KEY (tenant=? AND name=?)",
		"presets":       "SEARCH presets USING PRIMARY KEY (tenant=? AND name>?)",
		"match preset":  "SEARCH presets USING PRIMARY KEY (tenant=? AND name=?)",
		"inputs":        "SEARCH files USING INDEX sqlite_autoindex_files_1 (id=?)",
		"settle":        "SEARCH blobs USING INDEX blobs_loose (touched_at<?)",
		"die":           "SEARCH blobs USING INDEX blobs_loose (touched_at<?)",
		"dying":         "blobs USING COVERING INDEX blobs_dying",
	}
	scansTable := regexp.MustCompile(`SCAN [a-z]`) // and not the answer of a subquery, which is in parentheses
	for _, moment := range []string{"empty", "analysed while idle, then a burst"} {
		for name, s := range sqlite.Statements {
			plan, err := l.Explain(t.Context(), s.SQL, s.Args)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if !strings.Contains(plan, want[name]) {
				t.Errorf("%s, %s: plan is\n%s\nwant %s", name, moment, plan, want[name])
			}
			if scansTable.MatchString(plan) && name != "dying" || strings.Contains(plan, "TEMP B-TREE") && name != "list tag" {
				t.Errorf("%s, %s: plan scans or sorts:\n%s", name, moment, plan)
			}
		}
		done := insert(t, l, 50)
		w := register(t, l)
		claimed, err := l.Claim(t.Context(), w, done)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range claimed {
			if won, err := l.Finish(t.Context(), []store.Outcome{{Job: c.Job.ID, Fence: c.Job.Fence, Kind: store.OutcomeSucceeded}}); err != nil || !won[0] {
				t.Fatalf("Finish = %v, %v", won, err)
			}
		}
		if err := l.Exec(t.Context(), "ANALYZE"); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Claim(t.Context(), w, insert(t, l, 2000)[:1000]); err != nil {
			t.Fatal(err)
		}
	}
}
