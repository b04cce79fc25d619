//go:build linux

package chaos_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/blob/disk"
	"github.com/millrace/millrace/store/storetest"
)

// maxStrikes is how often the run may kill the process of one job: a job that met more is poison to the product, and rightly.
const maxStrikes = millrace.PoisonCrashes - 1

// verdict is what a run has cost.
type verdict struct {
	accepted, ended, lost, doubled, unknown, repeated int
	spentByFaults, spentByDisk                        int
	crashes                                           int // of the job that met most
	delays                                            delays
}

// report ends the units, opens what they leave, holds it against what clients heard, and prints the table.
func (r *chaosRun) report() {
	var ends []string
	for _, u := range r.f.units {
		ends = append(ends, u.ownFaults()...)
	}
	r.f.stop()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	ledger, err := r.f.open(ctx)
	if err != nil {
		r.t.Fatalf("open the ledger after the run: %v", err)
	}
	defer ledger.Close()
	jobs, err := allJobs(ctx, ledger)
	if err != nil {
		r.t.Fatalf("read the ledger after the run: %v", err)
	}
	v := r.judge(jobs)
	r.audit(ctx, ledger)
	r.hashes(ctx, ledger, jobs)
	r.print(v, ends)
}

func allJobs(ctx context.Context, ledger store.Ledger) ([]*millrace.Job, error) {
	var all []*millrace.Job
	filter := store.JobFilter{Limit: 500}
	for {
		page, err := ledger.List(ctx, millrace.DefaultTenant, filter)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if len(page) < filter.Limit {
			return all, nil
		}
		filter.Before = page[len(page)-1].ID
	}
}

// judge counts for the table. Lost and doubled are counted here as well as in the audit: the one sentence of this suite should not rest on one
// piece of code.
func (r *chaosRun) judge(jobs []*millrace.Job) verdict {
	v := verdict{delays: measure(jobs, r.strikes)}
	v.accepted, v.unknown, v.repeated = r.load.tally()
	byToken := make(map[string][]*millrace.Job)
	for _, j := range jobs {
		byToken[tokenOf(j)] = append(byToken[tokenOf(j)], j)
		if j.State.Final() {
			v.ended++
		} else {
			r.t.Logf("not final: %+v", *j)
		}
	}
	for token, q := range r.load.jobs {
		found := byToken[token]
		if len(found) > 1 {
			v.doubled++
			r.t.Errorf("doubled: %s (%s) is there %d times", token, q.kind, len(found))
		}
		if q.id == "" {
			continue
		}
		if len(found) == 0 || !slices.ContainsFunc(found, func(j *millrace.Job) bool { return j.ID == q.id && j.State.Final() }) {
			v.lost++
			r.t.Errorf("lost: %s (%s), acknowledged as %s: %d rows", token, q.kind, q.id, len(found))
		}
	}
	for _, j := range jobs {
		r.judgeAttempts(&v, j)
	}
	if v.spentByFaults > 0 {
		r.t.Errorf("%d attempts were spent by faults", v.spentByFaults)
	}
	for _, text := range r.load.refused {
		r.t.Errorf("refused: %s", text)
	}
	if r.verdictOnTime {
		for _, text := range v.delays.over {
			r.t.Errorf("held up too long: %s", text)
		}
	}
	return v
}

// judgeAttempts counts the ends of a job: one of each run, and none that a fault has spent.
func (r *chaosRun) judgeAttempts(v *verdict, j *millrace.Job) {
	kind := ""
	if q := r.load.jobs[tokenOf(j)]; q != nil {
		kind = q.kind
	}
	ends, crashes, spent := 0, 0, 0
	for _, a := range j.Attempts {
		if a.Outcome == millrace.AttemptCrashed {
			crashes++
		}
		if a.Spent {
			spent++
		}
		own := kind == "broken" && a.Error != nil && a.Error.Code.Permanent()
		switch {
		case a.Outcome == millrace.AttemptSucceeded, own:
			ends++
		case a.Spent && r.diskFailed(a):
			v.spentByDisk++
		case a.Spent:
			v.spentByFaults++
			r.t.Errorf("spent by a fault: job %s (%s), attempt %d: %s %+v", j.ID, kind, a.N, a.Outcome, a.Error)
		}
	}
	if v.crashes = max(v.crashes, crashes); crashes > maxStrikes {
		r.t.Errorf("the run itself is wrong: it has struck job %s %d times", j.ID, crashes)
	}
	if j.State.Final() && j.Attempt > spent {
		v.spentByFaults += j.Attempt - spent
		r.t.Errorf("spent by a fault: job %s (%s) has %d attempts spent, of which its history knows %d", j.ID, kind, j.Attempt, spent)
	}
	if ends > 1 {
		v.doubled++
		r.t.Errorf("doubled: job %s (%s) ended %d times: %+v", j.ID, kind, ends, j.Attempts)
	}
	want := map[string]millrace.State{"broken": millrace.Failed, "canceled": ""}
	state, special := want[kind]
	if !special {
		state = millrace.Succeeded
	}
	if state != "" && j.State.Final() && j.State != state {
		r.t.Errorf("job %s (%s) ended as %s, want %s: %+v", j.ID, kind, j.State, state, j.Error)
	}
}

// diskFailed says whether the disk was what failed an attempt: that one is the job's to repeat.
func (r *chaosRun) diskFailed(a millrace.Attempt) bool {
	return slices.ContainsFunc(r.strikes, func(s strike) bool {
		return s.kind.name == diskFull.name && a.Outcome == millrace.AttemptError && s.began.Before(a.EndedAt) && a.StartedAt.Before(s.ended.Add(time.Second))
	})
}

// audit holds the ledger against itself and against the clients' history.
func (r *chaosRun) audit(ctx context.Context, ledger store.Ledger) {
	blobs, err := disk.Open(disk.Config{Dir: filepath.Join(r.f.volume.dir, "data", "blobs")})
	if err != nil {
		r.t.Errorf("open the blobs after the run: %v", err)
		return
	}
	storetest.Audit{Source: ledger, Tenants: []string{millrace.DefaultTenant}, History: r.load.history, Settled: true, Blobs: blobs}.Check(ctx, r.t)
}

// hashes reads every output and compares it with what its job says.
func (r *chaosRun) hashes(ctx context.Context, ledger store.Ledger, jobs []*millrace.Job) {
	blobs, err := disk.Open(disk.Config{Dir: filepath.Join(r.f.volume.dir, "data", "blobs")})
	if err != nil {
		return // audit has said so
	}
	sums := make(map[string]string)
	outputs := 0
	for _, j := range jobs {
		for _, o := range j.Outputs {
			outputs++
			file, err := ledger.File(ctx, j.Tenant, o.File)
			if err != nil {
				r.t.Errorf("output %s of %s: %v", o.Name, j.ID, err)
				continue
			}
			if sums[file.Blob] == "" {
				in, err := blobs.Open(ctx, file.Blob)
				if err != nil {
					r.t.Errorf("output %s of %s: %v", o.Name, j.ID, err)
					continue
				}
				h := sha256.New()
				_, err = io.Copy(h, in)
				in.Close()
				if err != nil {
					r.t.Errorf("output %s of %s: %v", o.Name, j.ID, err)
				}
				sums[file.Blob] = hex.EncodeToString(h.Sum(nil))
			}
			if sums[file.Blob] != o.SHA256 {
				r.t.Errorf("output %s of %s has the SHA-256 %s and says %s", o.Name, j.ID, sums[file.Blob], o.SHA256)
			}
		}
	}
	r.t.Logf("%d outputs, %d blobs read: each is what its job says", outputs, len(sums))
}

func (r *chaosRun) print(v verdict, ends []string) {
	var b strings.Builder
	row := func(name string, value any) { fmt.Fprintf(&b, "  %-28s %v\n", name, value) }
	fmt.Fprintf(&b, "\n%s\n", r.f.mode)
	row("accepted", v.accepted)
	row("ended", v.ended)
	row("lost", v.lost)
	row("doubled", v.doubled)
	row("unknown", fmt.Sprintf("%d (of %d answers that did not come; the others were asked for again)", v.unknown, v.repeated))
	row("attempts spent by faults", v.spentByFaults)
	if v.spentByDisk > 0 {
		row("attempts that the disk failed", v.spentByDisk)
	}
	row("most kills that one job met", v.crashes)
	row("longest wait without a fault", v.delays.plain.Round(time.Millisecond))
	b.WriteString("  longest extra delay by kind of fault\n")
	for _, name := range slices.Sorted(maps.Keys(v.delays.longest)) {
		row("  "+name, fmt.Sprintf("%v  (%d jobs met one; %s)", v.delays.longest[name].Round(time.Millisecond), v.delays.met[name], v.delays.job[name]))
	}
	b.WriteString("  strikes\n")
	counts := make(map[string]int)
	for _, s := range r.strikes {
		counts[s.name]++
	}
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		row("  "+name, counts[name])
	}
	for _, text := range r.missed {
		row("did not strike", text)
	}
	for _, text := range r.skipped {
		row("", text)
	}
	for _, text := range ends {
		row("note", text)
	}
	r.t.Log(b.String())
	for _, text := range r.missed {
		if !r.verdictOnTime { // the fixed plan must strike with everything
			r.t.Errorf("did not strike: %s", text)
		}
	}
}
