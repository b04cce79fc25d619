//go:build linux

package chaos_test

import (
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace"
)

// kind is what a fault is to the jobs that it meets: how long it may hold them up, and since when that counts.
type kind struct {
	name  string
	bound time.Duration // 0: reported only
	heals bool          // counted from its end: while it lasts nobody can do anything
}

var (
	killed   = kind{"killed process", 5 * time.Second, false}
	deposed  = kind{"killed leader", 15 * time.Second, false} // what a process killed just before it left waits for the next one
	coreGone = kind{"killed core", 5 * time.Second, false}
	lost     = kind{"frozen or cut-off host", 15 * time.Second, false}
	flushed  = kind{"FLUSHALL", 10 * time.Second, false}
	redisOut = kind{"Redis away", 10 * time.Second, true}
	pgOut    = kind{"PostgreSQL away", 10 * time.Second, true}
	linkOut  = kind{"link cut or slow", 10 * time.Second, true}
	frozen   = kind{"frozen core", 15 * time.Second, true}
	diskFull = kind{"disk full or failing", 0, true}
	drained  = kind{"SIGTERM, frozen supervisor", 5 * time.Second, true}
)

// strike is one fault as it happened.
type strike struct {
	name         string
	kind         kind
	began, ended time.Time
	hit          bool
	note         string
}

// wait is a time in which a job could have run and did not, with the attempt before it that came to nothing: the fault that ended that one struck
// while it ran.
type wait struct {
	job, what      string
	from, idle, to time.Time // idle: since when nobody ran it
}

// waits finds those of a job: until its first start, and around each attempt that a fault took away. A backoff after the job's own error is none.
func waits(j *millrace.Job) []wait {
	var all []wait
	due := j.CreatedAt
	if j.RunAt.After(due) {
		due = j.RunAt
	}
	w := wait{j.ID, j.Type, due, due, due}
	for _, a := range j.Attempts {
		if w.to = a.StartedAt; w.to.After(w.idle) {
			all = append(all, w)
		}
		w = wait{j.ID, j.Type, a.StartedAt, a.EndedAt, a.StartedAt}
		if a.Outcome == millrace.AttemptError || a.Outcome == millrace.AttemptTimeout {
			w.from, w.idle = time.Now(), time.Now()
		}
	}
	return all
}

// delays is the longest extra delay by the kind of fault. A wait belongs to the fault that struck within it; where there were several it counts
// from the last of them and is listed apart.
type delays struct {
	longest map[string]time.Duration
	job     map[string]string
	met     map[string]int
	plain   time.Duration // the longest wait that met no fault
	over    []string      // beyond their bound
}

const several = "several at once"

func measure(jobs []*millrace.Job, strikes []strike) delays {
	d := delays{longest: make(map[string]time.Duration), job: make(map[string]string), met: make(map[string]int)}
	strikes = slices.DeleteFunc(slices.Clone(strikes), func(s strike) bool { return !s.hit })
	for _, j := range jobs {
		for _, w := range waits(j) {
			d.add(w, meeting(w, strikes))
		}
	}
	return d
}

// meeting finds the faults that struck in the wait, or were still on when it began.
func meeting(w wait, strikes []strike) []strike {
	var met []strike
	for _, s := range strikes {
		if s.began.Before(w.to) && !s.ended.Before(w.from) {
			met = append(met, s)
		}
	}
	return met
}

func (d *delays) add(w wait, met []strike) {
	if len(met) == 0 {
		d.plain = max(d.plain, w.to.Sub(w.idle))
		return
	}
	name, bound, from := met[0].kind.name, met[0].kind.bound, w.from
	for _, s := range met {
		if s.kind.name != name {
			name = several
		}
		since := s.began
		if s.kind.heals {
			since = s.ended
		}
		if since.After(from) {
			from = since
		}
		if bound != 0 && s.kind.bound != 0 {
			bound = max(bound, s.kind.bound)
		} else {
			bound = 0
		}
	}
	d.met[name]++
	extra := w.to.Sub(from)
	if extra > d.longest[name] {
		d.longest[name], d.job[name] = extra, w.job
	}
	if name == several && bound > 0 {
		bound = max(bound, lost.bound) // one may have kept from work who would have mended the other
	}
	if bound > 0 && extra > bound {
		var names []string
		for _, s := range met {
			names = append(names, s.name)
		}
		d.over = append(d.over, w.job+" ("+w.what+"): "+extra.Round(time.Millisecond).String()+" after "+strings.Join(names, ", "))
	}
}
