package storetest

import (
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

func listTests() []test {
	return []test{
		{"newest first, page by page", testListPages},
		{"filters", testListFilters},
		{"stable while jobs arrive", testListStable},
	}
}

func ids(jobs []*millrace.Job) []string {
	var out []string
	for _, j := range jobs {
		out = append(out, j.ID)
	}
	return out
}

// pages walks the list in pages of limit; between is called after each page.
func (f *fixture) pages(filter store.JobFilter, between func()) []string {
	f.Helper()
	var all []string
	for {
		page, err := f.Ledger.List(f.ctx, f.tenant, filter)
		f.must(err)
		if len(page) > filter.Limit {
			f.Fatalf("List answered %d jobs, limit %d", len(page), filter.Limit)
		}
		all = append(all, ids(page)...)
		if len(page) < filter.Limit {
			return all
		}
		filter.Before = page[len(page)-1].ID
		between()
	}
}

func testListPages(f *fixture) {
	var want []string
	for range 7 {
		want = append([]string{f.queued().ID}, want...)
	}
	if diff := cmp.Diff(want, f.pages(store.JobFilter{Limit: 3}, func() {})); diff != "" {
		f.Errorf("pages (-want +got):\n%s", diff)
	}
}

func testListStable(f *fixture) {
	var want []string
	for range 6 {
		want = append([]string{f.queued(func(j *millrace.Job) { j.Tags = []string{"t"} }).ID}, want...)
	}
	arrive := func() { f.queued(func(j *millrace.Job) { j.Tags = []string{"t"} }) }
	if diff := cmp.Diff(want, f.pages(store.JobFilter{Limit: 2}, arrive)); diff != "" {
		f.Errorf("pages (-want +got):\n%s", diff)
	}
}

func testListFilters(f *fixture) {
	now, w := f.Now(), f.worker()
	old := f.queued(func(j *millrace.Job) { j.CreatedAt, j.Tags = now.Add(-48*time.Hour), []string{"a", "b"} })
	stats := f.queued(func(j *millrace.Job) {
		j.Type, j.CreatedAt, j.Tags = "compute.stats", now.Add(-24*time.Hour), []string{"b"}
	})
	run := f.running(w, func(j *millrace.Job) { j.Tags, j.CreatedAt = []string{"a"}, now })
	done := f.end(f.running(w, func(j *millrace.Job) { j.CreatedAt = now }), store.OutcomeSucceeded)

	for _, tt := range []struct {
		name   string
		filter store.JobFilter
		want   []string
	}{
		{"all", store.JobFilter{}, []string{done.ID, run.ID, stats.ID, old.ID}},
		{"queued", store.JobFilter{State: millrace.Queued}, []string{stats.ID, old.ID}},
		{"running", store.JobFilter{State: millrace.Running}, []string{run.ID}},
		{"succeeded", store.JobFilter{State: millrace.Succeeded}, []string{done.ID}},
		{"canceled", store.JobFilter{State: millrace.Canceled}, nil},
		{"type", store.JobFilter{Type: "compute.stats"}, []string{stats.ID}},
		{"tag a", store.JobFilter{Tag: "a"}, []string{run.ID, old.ID}},
		{"tag b", store.JobFilter{Tag: "b"}, []string{stats.ID, old.ID}},
		{"tag b before", store.JobFilter{Tag: "b", Before: stats.ID}, []string{old.ID}},
		{"tag and state", store.JobFilter{Tag: "a", State: millrace.Running}, []string{run.ID}},
		{"tag and type", store.JobFilter{Tag: "b", Type: "file.compress"}, []string{old.ID}},
		{"no such tag", store.JobFilter{Tag: "c"}, nil},
		{"created after", store.JobFilter{CreatedAfter: now.Add(-36 * time.Hour)}, []string{done.ID, run.ID, stats.ID}},
		{"created before", store.JobFilter{CreatedBefore: now.Add(-12 * time.Hour)}, []string{stats.ID, old.ID}},
		{"created between", store.JobFilter{CreatedAfter: now.Add(-36 * time.Hour), CreatedBefore: now.Add(-12 * time.Hour)}, []string{stats.ID}},
		{"before", store.JobFilter{Before: run.ID}, []string{stats.ID, old.ID}},
	} {
		tt.filter.Limit = 10
		list, err := f.Ledger.List(f.ctx, f.tenant, tt.filter)
		f.must(err)
		if diff := cmp.Diff(tt.want, ids(list)); diff != "" {
			f.Errorf("List by %s (-want +got):\n%s", tt.name, diff)
		}
	}
}
