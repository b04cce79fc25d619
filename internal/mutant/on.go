//go:build mutants

package mutant

import (
	"strings"
	"sync/atomic"
)

// out is the rule that is taken out, "" for none. The tag is for one test alone, which sets it between two worlds.
var out atomic.Value

// struck says that a statement has lost something since TakeOut: a rule whose text has changed would be taken out of nothing.
var struck atomic.Bool

// Struck says whether the rule that is taken out has met a statement.
func Struck() bool { return struck.Load() }

// TakeOut takes a rule out of the product until put is called.
func TakeOut(r Rule) (put func()) {
	out.Store(r)
	struck.Store(false)
	return func() { out.Store(Rule("")) }
}

// On says whether the rule was taken out.
func On(r Rule) bool {
	now, _ := out.Load().(Rule)
	return now == r
}

// edit is what a rule's absence does to the statements that have it.
type edit struct{ of, old, put string } // in statements with of, old becomes put

var edits = map[Rule][]edit{
	Fence:       {{"json_set(attempts", " AND fence = ?2", ""}},
	State:       {{"json_set(attempts", " AND state = 'running'", ""}},
	Live:        {{"json_object('n', starts + 1", " AND state = 'live')", ")"}, {"worker_id = ? AND state = 'running'", "AND workers.state = 'live')", ")"}},
	Unclaimed:   {{"json_object('n', starts + 1", " AND fence = ?2", ""}},
	Unique:      {{"DELETE FROM unique_keys WHERE tenant = ?", "WHERE", "WHERE 0 AND"}},
	UniqueOwner: {{"DELETE FROM unique_keys WHERE tenant = ?", " AND job = ?", " AND ?3 = ?3"}},
	Idempotency: {{"SELECT hash, answer FROM idempotency_keys", "WHERE", "WHERE 0 AND"}, {"INSERT INTO idempotency_keys", "INSERT", "INSERT OR IGNORE"}},
	Generation:  {{"UPDATE meta SET value = ?1 + 1", "?1 + 1", "?1"}},
	SentAgain:   {{"json_set(attempts", "sent_gen    = 0,", ""}},
	Refence:     {{"UPDATE jobs SET fence = fence + 1, sent_gen = 0, due_at = ?3", "WHERE", "WHERE 0 AND"}},
	Rescue:      {{"FROM jobs j INDEXED BY jobs_owner LEFT JOIN workers", "WHERE", "WHERE 0 AND"}},
	Collect:     {{"UPDATE blobs SET state = 'dying'", " AND NOT EXISTS (SELECT 1 FROM files WHERE blob = key)", ""}, {"UPDATE blobs SET loose = 0", "LIMIT ?2", "LIMIT 0 * ?2"}},
	TakeLive:    {{"UPDATE blobs SET touched_at", " AND state = 'live'", ""}},
	KeepInputs: {{"INTO job_files", "VALUES (?, ?)", "SELECT ?1, ?2 WHERE 0"}, // a claim still finds the files by their ids
		{"FROM files WHERE id IN", "SELECT file FROM job_files WHERE job = ?", "SELECT i.value ->> 'file' FROM jobs, json_each(jobs.inputs) i WHERE jobs.id = ?"}},
	Expire:  {{"SELECT count(*) FROM files WHERE id", "WHERE", "WHERE 0 AND"}},
	Loose:   {{"UPDATE blobs SET state = 'dying'", "WHERE loose = 1", "WHERE 0"}},
	Webhook: {{"INSERT INTO webhook_deliveries", "VALUES (?, ?, ?, ?, ?, ?, ?)", "SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE ?5 <> 'canceled'"}},
	CancelSticks: {{"json_set(attempts", "iif(?5 OR cancel_at IS NULL, ?4, 'canceled')", "?4"},
		{"json_set(attempts", "iif(?5 OR cancel_at IS NOT NULL, NULL, ?6)", "iif(?5, NULL, ?6)"}},
	Released: {{"DELETE FROM equal_groups", "RETURNING id, followed", "RETURNING id, 0"}},
	Paused:   {{"UPDATE meta SET value = value + 1", "value + 1", "value"}},
	Overdue:  {{"UPDATE jobs SET state = 'failed', fence = fence + 1, due_at = NULL", "WHERE", "WHERE 0 AND"}},
	Spent:    {{"json_set(attempts", "attempt     = attempt - ?8,", ""}},
}

// SQL is the statement without the rule that was taken out.
func SQL(statement string) string {
	now, _ := out.Load().(Rule)
	for _, e := range edits[now] {
		if strings.Contains(statement, e.of) && strings.Contains(statement, e.old) {
			struck.Store(true)
			statement = strings.ReplaceAll(statement, e.old, e.put)
		}
	}
	return statement
}
