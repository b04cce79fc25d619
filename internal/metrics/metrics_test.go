package metrics_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/cache"
	"github.com/millrace/millrace/internal/metrics"
	"github.com/millrace/millrace/internal/testrig"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/sqlite"
)

// ledger is the real one, counted, with a switch that breaks it.
type ledger struct {
	*sqlite.Ledger
	down           atomic.Bool
	depths, others atomic.Int64 // calls
}

var errDown = errors.New("the ledger is out of reach")

func (l *ledger) Depths(ctx context.Context, limit int) ([]store.Depth, error) {
	l.depths.Add(1)
	if l.down.Load() {
		return nil, errDown
	}
	return l.Ledger.Depths(ctx, limit)
}

func (l *ledger) Workers(ctx context.Context) ([]millrace.Worker, error) {
	l.others.Add(1)
	if l.down.Load() {
		return nil, errDown
	}
	return l.Ledger.Workers(ctx)
}

func setUp(t *testing.T) (*ledger, *testrig.Rig, *prometheus.Registry) {
	t.Helper()
	rig := testrig.New(t)
	l := &ledger{Ledger: rig.Ledger}
	caches := []*cache.Cache{cache.New(cache.Config{Redis: rig.Redis, Name: "results", Log: rig.Log}), cache.New(cache.Config{Redis: rig.Redis, Name: "presets", Log: rig.Log})}
	for range 3 {
		if _, err := caches[1].Get(t.Context(), "key", func(context.Context) ([]byte, error) { return []byte("value"), nil }); err != nil {
			t.Fatal(err)
		}
	}
	return l, rig, metrics.New(metrics.Config{Ledger: l, Queue: rig.Queue, Caches: caches, Version: "v1"})
}

// gather reads all metrics of ours as "name{label=value,…}" with their values.
func gather(t *testing.T, r *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatalf("Gather: %v", err)
	}
	values := make(map[string]float64)
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "millrace_") {
			continue
		}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			slices.Sort(labels)
			name := f.GetName() + "{" + strings.Join(labels, ",") + "}"
			if values[name] = m.GetGauge().GetValue(); m.GetCounter() != nil {
				values[name] = m.GetCounter().GetValue()
			}
		}
	}
	return values
}

func TestScrape(t *testing.T) {
	t.Parallel()
	l, rig, r := setUp(t)
	if l.depths.Load()+l.others.Load() != 0 {
		t.Error("making the registry asked the ledger: a start would wait for it")
	}
	if err := rig.Ledger.Register(t.Context(), millrace.Worker{ID: "01890a5d-ac96-774b-bcce-b302099a8057", Role: "worker", CPUSlots: 2, IOSlots: 16}); err != nil {
		t.Fatal(err)
	}
	got := gather(t, r)
	for name, want := range map[string]float64{
		"millrace_build_info{version=v1}":                          1,
		"millrace_processes{role=worker}":                          1,
		"millrace_worker_slots{pool=cpu}":                          2,
		"millrace_worker_slots{pool=io}":                           16,
		"millrace_worker_running{}":                                0,
		"millrace_jobs{queue=cpu.normal,state=ready}":              0,
		"millrace_queue_oldest_seconds{queue=io.low}":              0,
		"millrace_queue_dispatched{queue=io.high}":                 0,
		"millrace_cache_hits_total{cache=results,level=process}":   0,
		"millrace_cache_hits_total{cache=presets,level=process}":   2,
		"millrace_cache_misses_total{cache=presets,level=process}": 1,
		"millrace_cache_hits_total{cache=presets,level=redis}":     0,
		"millrace_cache_misses_total{cache=presets,level=redis}":   1,
		"millrace_cache_changes_total{cache=presets}":              0,
		"millrace_cache_entries{cache=presets}":                    1,
		"millrace_cache_bytes{cache=presets}":                      8,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s = %v, there %v, want %v", name, v, ok, want)
		}
	}
	for _, pool := range []string{"ledger", "redis"} {
		if got["millrace_pool_max_connections{store="+pool+"}"] <= 0 {
			t.Errorf("pool of %s: no size among %v", pool, got)
		}
	}
	gather(t, r)
	if n := l.depths.Load(); n != 1 {
		t.Errorf("the ledger was asked for depths %d times by two scrapes, want once", n)
	}
}

func TestScrapeLeavesOutWhatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	l, _, r := setUp(t)
	l.down.Store(true)
	got := gather(t, r)
	for name := range got {
		for _, gone := range []string{"millrace_jobs", "millrace_processes", "millrace_worker_", "millrace_queue_oldest"} {
			if strings.HasPrefix(name, gone) {
				t.Errorf("%s is told although the ledger is down", name)
			}
		}
	}
	if _, ok := got["millrace_queue_dispatched{queue=cpu.normal}"]; !ok {
		t.Errorf("the queue's figures are missing with the ledger down: %v", got)
	}
	l.down.Store(false)
	if _, ok := gather(t, r)["millrace_jobs{queue=cpu.normal,state=ready}"]; !ok {
		t.Error("the ledger's figures do not come back with it")
	}
}
