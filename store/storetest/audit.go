package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

// Violation is one broken promise.
type Violation struct {
	Invariant string // "I1" … "I13", see Audit
	Job       string // id, or "" when it is not about one job
	Detail    string
}

func (v Violation) String() string {
	if v.Job == "" {
		return v.Invariant + ": " + v.Detail
	}
	return v.Invariant + ": job " + v.Job + ": " + v.Detail
}

// Source is where an Audit reads jobs. A store.Ledger is one; so is a Snapshot of what a program read elsewhere. What a source can do besides
// decides which invariants are looked at: with File also I6, with WebhookDeliveries also I7, with ListFiles and KnowsBlob also I8, with Backlog more of
// I9.
type Source interface {
	List(ctx context.Context, tenant string, f store.JobFilter) ([]*millrace.Job, error)
	Job(ctx context.Context, tenant, id string) (*millrace.Job, error)
}

// Blobs is the part of blob.Store that I8 needs. Keys calls yield for each blob older than before.
type Blobs interface {
	Keys(ctx context.Context, before time.Time, yield func(key string) error) error
}

// Audit compares a ledger with itself and with a history, at a moment at which nobody writes.
//
//	I1  no acknowledged job is lost
//	I2  each run of a job ends once, and stays as it ended
//	I3  what is listed was asked for, and not refused, and is there once
//	I4  one job for an idempotency key; one live job for a unique key
//	I5  fence, starts and runs only grow; one owner at a time; not more attempts than allowed
//	I6  outputs exist exactly with success, and are what their files are
//	I7  one delivery for each ended run that the webhook wants to hear of, no other
//	I8  every blob that a file refers to exists; with Grace also: what is older than Grace is referred to
//	I9  with Settled: nothing waits for a worker any more; with Tidied: what was over for so long is gone
//	I10 with Settled: everything is final
//	I11 no tenant sees another's row
//	I12 attempts spent are those that ended in the job's own error or timeout
//	I13 a job that waits for an equal one has one that lives, as soon as what its end left to do is done
//
// That memory, disks and the queue stay bounded, which is I9 too, is measured where the processes are.
type Audit struct {
	Source  Source
	Tenants []string
	History *History
	// Public says that the jobs were read as clients see them: without fences, owners, starts and keys.
	Public bool
	// Settled says that all faults are over and everything had its time.
	Settled bool
	Blobs   Blobs         // the blob store; nil: the ledger's own word is taken
	Grace   time.Duration // how long an unreferenced blob may stay when collection had its time; 0: for ever
	// Tidied is how long an expired job or file that nobody needs may still be there when the clean-up had its time. 0: for ever.
	Tidied time.Duration
	Now    time.Time // for Grace and Tidied, by the clock of the ledger and the blob store
}

// Violations reads everything and reports what is broken. The error is the source's: then nothing is known.
func (a Audit) Violations(ctx context.Context) ([]Violation, error) {
	r := &report{Audit: a, byID: map[string]*millrace.Job{}}
	if r.History == nil {
		r.History = &History{}
	}
	for _, tenant := range a.Tenants {
		if err := r.readTenant(ctx, tenant); err != nil {
			return nil, err
		}
	}
	for _, j := range r.jobs {
		r.checkJob(j)
		if err := r.checkRows(ctx, j); err != nil {
			return nil, err
		}
	}
	r.checkUnique()
	r.checkHistory()
	if err := r.checkForeign(ctx); err != nil {
		return nil, err
	}
	if err := r.checkBlobs(ctx); err != nil {
		return nil, err
	}
	if err := r.checkBounds(ctx); err != nil {
		return nil, err
	}
	return r.found, nil
}

// Check reports every violation as an error of the test.
func (a Audit) Check(ctx context.Context, t testing.TB) {
	t.Helper()
	found, err := a.Violations(ctx)
	if err != nil {
		t.Errorf("audit: %v", err)
	}
	for i, v := range found {
		if i == 20 {
			t.Errorf("audit: and %d more", len(found)-i)
			return
		}
		t.Errorf("audit: %s", v)
	}
}

// Check audits a ledger without a history.
func Check(ctx context.Context, t testing.TB, ledger store.Ledger, tenants ...string) {
	t.Helper()
	Audit{Source: ledger, Tenants: tenants}.Check(ctx, t)
}

// report is an audit at work.
type report struct {
	Audit
	jobs  []*millrace.Job
	byID  map[string]*millrace.Job
	files []millrace.File
	found []Violation
}

func (r *report) say(broken bool, invariant, job, format string, args ...any) {
	if broken {
		r.found = append(r.found, Violation{invariant, job, fmt.Sprintf(format, args...)})
	}
}

func (r *report) readTenant(ctx context.Context, tenant string) error {
	filter := store.JobFilter{Limit: 500}
	for {
		page, err := r.Source.List(ctx, tenant, filter)
		if err != nil {
			return fmt.Errorf("list jobs: %w", err)
		}
		for _, j := range page {
			r.say(j.Tenant != tenant, "I11", j.ID, "is %q's and listed for %q", j.Tenant, tenant)
			r.say(r.byID[j.ID] != nil, "I3", j.ID, "is listed twice")
			r.jobs = append(r.jobs, j)
			r.byID[j.ID] = j
		}
		if len(page) < filter.Limit {
			break
		}
		filter.Before = page[len(page)-1].ID
	}
	lister, ok := r.Source.(interface {
		ListFiles(ctx context.Context, tenant, before string, limit int) ([]millrace.File, error)
	})
	for before := ""; ok; {
		page, err := lister.ListFiles(ctx, tenant, before, 500)
		if err != nil {
			return fmt.Errorf("list files: %w", err)
		}
		for _, file := range page {
			r.say(file.Tenant != tenant, "I11", file.Job, "file %s is %q's and listed for %q", file.ID, file.Tenant, tenant)
		}
		r.files = append(r.files, page...)
		if len(page) < 500 {
			break
		}
		before = page[len(page)-1].ID
	}
	return nil
}

// probes bounds how many jobs of each tenant are asked for in the name of another.
const probes = 20

func (r *report) checkForeign(ctx context.Context) error {
	if len(r.Tenants) < 2 {
		return nil
	}
	asked := map[string]int{}
	for _, j := range r.jobs {
		if asked[j.Tenant]++; asked[j.Tenant] > probes {
			continue
		}
		i := slices.Index(r.Tenants, j.Tenant)
		other := r.Tenants[(i+1)%len(r.Tenants)]
		_, err := r.Source.Job(ctx, other, j.ID)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("read job: %w", err)
		}
		r.say(err == nil, "I11", j.ID, "is %q's and can be read by %q", j.Tenant, other)
	}
	return nil
}

// Snapshot is a Source of jobs that were read elsewhere, over HTTP for one.
type Snapshot struct{ jobs map[string][]*millrace.Job } // by tenant, newest first

// NewSnapshot makes a Source of the jobs.
func NewSnapshot(jobs []*millrace.Job) Snapshot {
	s := Snapshot{map[string][]*millrace.Job{}}
	for _, j := range jobs {
		s.jobs[j.Tenant] = append(s.jobs[j.Tenant], j)
	}
	for _, of := range s.jobs {
		slices.SortStableFunc(of, func(a, b *millrace.Job) int { return strings.Compare(b.ID, a.ID) })
	}
	return s
}

// List gives the tenant's jobs. Of the filter it knows Before and Limit.
func (s Snapshot) List(_ context.Context, tenant string, f store.JobFilter) ([]*millrace.Job, error) {
	page := s.jobs[tenant]
	if f.Before != "" {
		page = page[sort.Search(len(page), func(i int) bool { return page[i].ID < f.Before }):]
	}
	if f.Limit > 0 && len(page) > f.Limit {
		page = page[:f.Limit]
	}
	return page, nil
}

// Job finds one job of the tenant.
func (s Snapshot) Job(_ context.Context, tenant, id string) (*millrace.Job, error) {
	of := s.jobs[tenant]
	if i := sort.Search(len(of), func(i int) bool { return of[i].ID <= id }); i < len(of) && of[i].ID == id {
		return of[i], nil
	}
	return nil, store.ErrNotFound
}
