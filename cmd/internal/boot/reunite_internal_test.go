package boot

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

// roll is a ledger that knows who has registered, and nothing else.
type roll struct {
	store.Ledger
	workers atomic.Pointer[[]millrace.Worker]
}

func (r *roll) Workers(context.Context) ([]millrace.Worker, error) {
	if w := r.workers.Load(); w != nil {
		return *w, nil
	}
	return nil, nil
}

// Nobody knows whether a quarantine lives, so those who are counted do not end the wait: it has a beat more to come back.
func TestReunionWaitsForAQuarantine(t *testing.T) {
	t.Parallel()
	both := []millrace.Worker{{Role: childWorker}, {Role: childWorker}}
	for _, tt := range []struct {
		name    string
		workers []millrace.Worker
		want    time.Duration
	}{
		{"all", both, time.Second + 1500*time.Millisecond},
		{"one is missing", both[:1], reunion},
		{"a quarantine is no worker", []millrace.Worker{{Role: childWorker}, {Role: childQuarantine}}, reunion},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := new(roll)
				e := &embeddedStores{process: &process{config: Config{Workers: 2}}, stores: &stores{ledger: r}}
				began := time.Now()
				time.AfterFunc(time.Second-50*time.Millisecond, func() { r.workers.Store(&tt.workers) })
				e.reunite(t.Context())
				if took := time.Since(began); took != tt.want {
					t.Errorf("reunite took %v, want %v", took, tt.want)
				}
			})
		})
	}
}
