package storetest

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"sync"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

// History is what clients and workers did and what they were told. Whoever drives a ledger, a server or a simulation of one writes it while it
// goes on, from any number of goroutines; an Audit compares it with what the ledger holds in the end. A History that was told little checks
// little: each method says which invariant it feeds.
//
// A job is known by its token until somebody has heard its id: whatever the client put into it to find it again. Where clients make the ids
// themselves, which they do on a ledger, the token is the id; over HTTP it may be a tag.
type History struct {
	// Token reads the token of a job back; nil: the job's id. It is called for all jobs that no schedule made.
	Token func(*millrace.Job) string

	mu       sync.Mutex
	jobs     map[string]*submitted // by token
	deleted  map[string]bool       // by job id
	runs     map[runKey]*runEnd
	seen     map[observed]*millrace.Job // the newest that an observer saw
	claims   map[attemptKey]claim
	outcomes map[attemptKey]*outcomes
	broken   []Violation // what could be told at once
}

// Submission is one job that a client asks for.
type Submission struct {
	Token       string
	Tenant      string
	Idempotency string // key, or ""; repetitions under one key have one token
	// Spends is how many attempts the job itself ends before it is done, 1 for one that succeeds at once; 0: nobody knows. A fault that is not
	// the job's must not spend one (I12).
	Spends int
}

type submitted struct {
	Submission
	acknowledged bool
	id           string // once heard
	answers      int    // requests that heard an answer
	requests     int
	refused      int
}

type runKey struct {
	job string
	run int
}

// runEnd is how a run ended, as far as somebody saw it.
type runEnd struct {
	state   millrace.State
	digest  string // of everything that must not change; "" when only the state is known
	witness string
}

type observed struct{ observer, job string }

type attemptKey struct {
	job   string
	fence int64
}

type claim struct {
	worker string
	run    int
}

type outcomes struct {
	won     []millrace.State // final states that were told to have won
	unknown int              // outcomes whose answer was lost
}

// Attempted notes that a client is about to ask for a job. Until it is acknowledged or refused its fate is unknown: it may be in the ledger or
// not (I3). Call it again for each repetition of the request.
func (h *History) Attempted(s Submission) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.jobs == nil {
		h.jobs = map[string]*submitted{}
	}
	j := h.jobs[s.Token]
	if j == nil {
		j = &submitted{Submission: s}
		h.jobs[s.Token] = j
	}
	j.requests++
}

// Acknowledged notes that the client heard that the job was accepted, and its id: from now on it may not be lost (I1). Another id for the same
// token breaks I4.
func (h *History) Acknowledged(token, id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	j := h.jobs[token]
	if j == nil {
		h.broken = append(h.broken, Violation{"I3", id, "acknowledged, though nobody asked for " + token})
		return
	}
	j.answers++
	if j.acknowledged && j.id != id {
		h.broken = append(h.broken, Violation{"I4", id, "submission " + token + " was answered with job " + j.id + " before"})
		return
	}
	j.acknowledged, j.id = true, id
}

// Refused notes that the client heard that nothing was accepted. A job whose every request was refused must not exist (I3).
func (h *History) Refused(token string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if j := h.jobs[token]; j != nil {
		j.answers++
		j.refused++
	}
}

// Deleted notes that somebody asked to delete the job, or that its retention is over: it need not be there any more.
func (h *History) Deleted(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.deleted == nil {
		h.deleted = map[string]bool{}
	}
	h.deleted[id] = true
}

// Saw notes a job as somebody read it. One observer's reads must be in order: a job does not go back (I5), and a run that has ended stays as it
// is (I2).
func (h *History) Saw(observer string, j *millrace.Job) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.seen == nil {
		h.seen = map[observed]*millrace.Job{}
	}
	key := observed{observer, j.ID}
	if before := h.seen[key]; before != nil {
		if what := wentBack(before, j); what != "" {
			h.broken = append(h.broken, Violation{"I5", j.ID, what + ", says " + observer})
		}
		if before.Run == j.Run && before.State.Final() && !j.State.Final() {
			h.broken = append(h.broken, Violation{"I2", j.ID, "was " + string(before.State) + " and is " + string(j.State) + ", says " + observer})
		}
	}
	copied := *j
	h.seen[key] = &copied
	if j.State.Final() {
		h.ended(j.ID, j.Run, runEnd{j.State, digest(j), observer})
	}
}

// wentBack says which number of a job is smaller than it was, or "".
func wentBack(before, after *millrace.Job) string {
	switch {
	case after.Run < before.Run:
		return "the run went back"
	case after.Fence < before.Fence:
		return "the fence went back"
	case after.Starts < before.Starts:
		return "the starts went back"
	}
	return ""
}

// Ended notes that somebody heard of a run's end without seeing the job: by a webhook, an event or a worker's log.
func (h *History) Ended(witness, job string, run int, state millrace.State) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended(job, run, runEnd{state: state, witness: witness})
}

func (h *History) ended(job string, run int, end runEnd) {
	if h.runs == nil {
		h.runs = map[runKey]*runEnd{}
	}
	known := h.runs[runKey{job, run}]
	if known == nil {
		h.runs[runKey{job, run}] = &end
		return
	}
	if what := differ(*known, end); what != "" {
		h.broken = append(h.broken, Violation{"I2", job, what})
	}
	if known.digest == "" {
		known.digest = end.digest
	}
}

// differ says how two ends of one run differ, or "".
func differ(a, b runEnd) string {
	switch {
	case a.state != b.state:
		return "ended " + string(a.state) + ", says " + a.witness + ", and " + string(b.state) + ", says " + b.witness
	case a.digest != "" && b.digest != "" && a.digest != b.digest:
		return "changed after its end: " + a.digest + ", says " + a.witness + ", and " + b.digest + ", says " + b.witness
	}
	return ""
}

// Claimed notes that a worker holds an attempt: no other may hold the same (I5).
func (h *History) Claimed(worker string, j *millrace.Job) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.claims == nil {
		h.claims = map[attemptKey]claim{}
	}
	key := attemptKey{j.ID, j.Fence}
	if other, ok := h.claims[key]; ok && other.worker != worker {
		h.broken = append(h.broken, Violation{"I5", j.ID, "one attempt belongs to " + other.worker + " and to " + worker})
	}
	h.claims[key] = claim{worker, j.Run}
}

// Finished notes what a worker was told about its outcome. Of one run only one final outcome may win (I2).
func (h *History) Finished(o store.Outcome, won bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if state, final := finalOf(o.Kind); won && final {
		known := h.attempt(o)
		known.won = append(known.won, state)
	}
}

// FinishUnknown notes that a worker never heard whether its outcome won.
func (h *History) FinishUnknown(o store.Outcome) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.attempt(o).unknown++
}

func (h *History) attempt(o store.Outcome) *outcomes {
	if h.outcomes == nil {
		h.outcomes = map[attemptKey]*outcomes{}
	}
	key := attemptKey{o.Job, o.Fence}
	if h.outcomes[key] == nil {
		h.outcomes[key] = &outcomes{}
	}
	return h.outcomes[key]
}

func finalOf(kind store.OutcomeKind) (millrace.State, bool) {
	switch kind {
	case store.OutcomeSucceeded:
		return millrace.Succeeded, true
	case store.OutcomeFailed:
		return millrace.Failed, true
	case store.OutcomeCanceled:
		return millrace.Canceled, true
	}
	return "", false
}

// Tally counts a history for people.
type Tally struct {
	Attempted, Acknowledged, Refused, Unknown int // jobs
	Ended                                     int // runs that somebody saw ended
}

// Tally counts what was noted up to now.
func (h *History) Tally() Tally {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := Tally{Attempted: len(h.jobs), Ended: len(h.runs)}
	for _, j := range h.jobs {
		switch {
		case j.acknowledged:
			t.Acknowledged++
		case j.refused > 0 && j.refused == j.requests:
			t.Refused++
		default:
			t.Unknown++
		}
	}
	return t
}

// digest is everything of an ended run that must stay as it is, in a form that a person can compare.
func digest(j *millrace.Job) string {
	outs := slices.Clone(j.Outputs)
	slices.SortFunc(outs, func(a, b millrace.Output) int { return cmp.Compare(a.Name, b.Name) })
	code := millrace.Code("")
	if j.Error != nil {
		code = j.Error.Code
	}
	text, err := json.Marshal(struct {
		State   millrace.State    `json:"state"`
		At      int64             `json:"at"`
		Attempt int               `json:"attempt"`
		Code    millrace.Code     `json:"code,omitempty"`
		Result  json.RawMessage   `json:"result,omitempty"`
		Outputs []millrace.Output `json:"outputs,omitempty"`
	}{j.State, j.FinishedAt.UnixMilli(), j.Attempt, code, j.Result, outs})
	if err != nil {
		return "unreadable: " + strings.ToValidUTF8(string(j.Result), "?")
	}
	return string(text)
}
