package scheduler

import (
	"context"
	"fmt"
	"time"
)

// LeaseName is the lease that leaders take.
const LeaseName = leaseName

// Hurry makes what is done each second be done at that pace, before Run.
func (l *Leader) Hurry(pace time.Duration) {
	l.pace = pace
	for _, rounds := range [][]round{l.watch, l.quick, l.due} {
		for i := range rounds {
			if rounds[i].every == roundEvery {
				rounds[i].every = pace
			}
		}
	}
}

// Do does one round now, whenever it is due.
func (l *Leader) Do(ctx context.Context, name string) error {
	for _, rounds := range [][]round{l.watch, l.quick, l.due, l.slow} {
		for _, r := range rounds {
			if r.name == name {
				return r.do(ctx)
			}
		}
	}
	return fmt.Errorf("no round is called %q", name)
}

// Due makes a round due at the next look, before Run.
func (l *Leader) Due(name string) {
	for i := range l.slow {
		if l.slow[i].name == name {
			l.slow[i].next = time.Time{}
		}
	}
}
