//go:build faults && unix

package fault

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Point is a moment at which a process may be struck.
func Point(name string) { _ = strike(name, nil) }

// For is Point for a moment that belongs to one job, known by its tags: an order may be meant for one of them alone.
func For(name string, tags []string) { _ = strike(name, tags) }

// Error is Point for a moment at which a call may fail instead.
func Error(name string) error { return strike(name, nil) }

// Duration is normal, unless an order shortens it: what takes an hour in the product must happen within a fault run.
func Duration(name string, normal time.Duration) time.Duration {
	raw, err := os.ReadFile(filepath.Join(dir(), name))
	if err != nil {
		return normal
	}
	if d, err := time.ParseDuration(strings.TrimSpace(string(raw))); err == nil {
		return d
	}
	return normal
}

func dir() string { return cmp.Or(os.Getenv("MILLRACE_FAULTS"), "/nonexistent") }

// order is what a file says: "kill", "stop", "error" or "sleep 2s", then words that narrow it.
//
//	every=3       at each third time that this process comes here; 1
//	tag=poison    for a job with this tag only, in whatever process
//	child=core    in a process of this kind only
//	keep          it stays for the next time; else the first process to carry it out takes it away
type order struct {
	action, tag, child string
	sleep              time.Duration
	every              int
	keep               bool
}

func parse(text string) (order, error) {
	o := order{every: 1}
	words := strings.Fields(text)
	if len(words) == 0 {
		return o, errors.New("an empty order")
	}
	o.action = words[0]
	for _, word := range words[1:] {
		name, value, _ := strings.Cut(word, "=")
		var err error
		switch name {
		case "every":
			o.every, err = strconv.Atoi(value)
		case "tag":
			o.tag = value
		case "child":
			o.child = value
		case "keep":
			o.keep = true
		default:
			o.sleep, err = time.ParseDuration(word)
		}
		if err != nil {
			return o, fmt.Errorf("order %q: %w", text, err)
		}
	}
	return o, nil
}

// hits counts by name how often this process came to a point for which there was an order. The one piece of state that a package here keeps: a
// point is called from everywhere and nothing could hand it a counter.
var hits = struct {
	sync.Mutex
	n map[string]int
}{n: make(map[string]int)}

// errStruck is what Error answers.
var errStruck = errors.New("fault injected")

func strike(name string, tags []string) error {
	path := filepath.Join(dir(), name)
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	o, err := parse(string(raw))
	if err != nil || !o.meant(tags) {
		return nil
	}
	hits.Lock()
	hits.n[name]++
	due := hits.n[name]%max(1, o.every) == 0
	hits.Unlock()
	// Of many processes that come here at once, one carries out an order that is meant for one.
	if !due || !o.keep && os.Remove(path) != nil {
		return nil
	}
	return o.carryOut(name)
}

// meant says whether the order is for this process and job. A quarantine holds jobs that were in crashes before: it is left alone, unless the order
// names the job.
func (o order) meant(tags []string) bool {
	part := os.Getenv("MILLRACE_CHILD")
	switch {
	case o.tag != "":
		return slices.Contains(tags, o.tag)
	case o.child != "":
		return part == o.child
	}
	return part != "quarantine"
}

func (o order) carryOut(name string) error {
	note(name, o.action)
	switch o.action {
	case "kill":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // nothing of this goroutine happens any more
	case "stop":
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	case "sleep":
		time.Sleep(o.sleep)
	case "error":
		return errStruck
	}
	return nil
}

// note writes down the strike before it happens, so that a run can show that it did: "<unix nanoseconds> <point> <action> <pid> <child>".
func note(name, action string) {
	f, err := os.OpenFile(filepath.Join(dir(), "strikes.log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	part := cmp.Or(os.Getenv("MILLRACE_CHILD"), "-")
	_, _ = fmt.Fprintf(f, "%d %s %s %d %s\n", time.Now().UnixNano(), name, action, os.Getpid(), part)
}
