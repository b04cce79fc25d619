// Package metrics turns what the parts know of themselves into Prometheus metrics: pools, caches, queues, processes.
//
// Labels are bounded (queues, roles, stores), and no scrape counts rows: queue depths are bounded counts that are at most some seconds old.
package metrics

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/cache"
	"github.com/millrace/millrace/internal/queue"
	"github.com/millrace/millrace/store"
)

// Ledger is what is read of the ledger.
type Ledger interface {
	Stats() store.PoolStats
	Depths(ctx context.Context, limit int) ([]store.Depth, error)
	Workers(ctx context.Context) ([]millrace.Worker, error)
}

// Queue is what is read of the queue.
type Queue interface {
	PoolStats() queue.PoolStats
	Depths(ctx context.Context) (map[string]int, error)
}

// Config names the parts.
type Config struct {
	Ledger  Ledger
	Queue   Queue
	Caches  []*cache.Cache
	Version string
}

const (
	depthLimit = 100_000 // jobs counted per queue at most
	freshFor   = 5 * time.Second
	scrapeTime = 2 * time.Second
)

// New makes a registry with everything of this process in it.
func New(c Config) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "millrace_build_info", Help: "1, with the version as a label.",
		ConstLabels: prometheus.Labels{"version": c.Version}})
	build.Set(1)
	r.MustRegister(build, &collector{Config: c, descs: newDescs()})
	return r
}

// descs are the metrics that are read at each scrape.
type descs struct {
	poolMax, poolOpen, poolInUse, poolIdle, poolWaits, poolWaitSeconds, poolTimeouts *prometheus.Desc
	cacheHits, cacheMisses, cacheChanges, cacheEntries, cacheBytes                   *prometheus.Desc
	jobs, oldest, dispatched                                                         *prometheus.Desc
	workers, slots, running, memory                                                  *prometheus.Desc
}

func newDescs() descs {
	d := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("millrace_"+name, help, labels, nil)
	}
	return descs{
		poolMax:         d("pool_max_connections", "Largest size of the connection pool of this process.", "store"),
		poolOpen:        d("pool_open_connections", "Open connections of the pool.", "store"),
		poolInUse:       d("pool_in_use_connections", "Connections somebody is using.", "store"),
		poolIdle:        d("pool_idle_connections", "Connections nobody is using.", "store"),
		poolWaits:       d("pool_waits_total", "Acquisitions that had to wait for a connection.", "store"),
		poolWaitSeconds: d("pool_wait_seconds_total", "Time spent waiting for a connection.", "store"),
		poolTimeouts:    d("pool_timeouts_total", "Acquisitions that gave up waiting.", "store"),
		cacheHits:       d("cache_hits_total", "Values that were found in a level of the cache.", "cache", "level"),
		cacheMisses:     d("cache_misses_total", "Values that a level was asked for in vain; a Redis that is down is a miss.", "cache", "level"),
		cacheChanges:    d("cache_changes_total", "Changes that this process heard of, its own and those of others.", "cache"),
		cacheEntries:    d("cache_entries", "Values kept in this process.", "cache"),
		cacheBytes:      d("cache_bytes", "Bytes of the values kept in this process.", "cache"),
		jobs:            d("jobs", "Jobs that are not final, by queue and what they wait for; counted up to a bound.", "queue", "state"),
		oldest:          d("queue_oldest_seconds", "How long the oldest ready job of the queue has been due.", "queue"),
		dispatched:      d("queue_dispatched", "Jobs of the queue that are in Redis.", "queue"),
		workers:         d("processes", "Live processes by role.", "role"),
		slots:           d("worker_slots", "Slots of all worker processes.", "pool"),
		running:         d("worker_running", "Jobs running in all worker processes."),
		memory:          d("worker_memory_bytes", "Memory that running jobs have reserved, and what they may.", "what"),
	}
}

// collector reads the parts at a scrape.
type collector struct {
	Config
	descs descs

	mu     sync.Mutex             // guards what follows
	depths map[string]store.Depth // by queue; never changed, only replaced
	read   time.Time
}

// Describe implements prometheus.Collector. It announces nothing: a part that is away when the process starts must neither delay the start nor
// fix what later scrapes may hold.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector. A part that does not answer is left out, which is what its alert looks for.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime)
	defer cancel()
	e := emitter{ch}
	c.pools(e)
	c.caches(e)
	c.queues(ctx, e)
	c.processes(ctx, e)
}

func (c *collector) caches(e emitter) {
	for _, cache := range c.Caches {
		s := cache.Stats()
		e.counter(c.descs.cacheHits, float64(s.LocalHits), cache.Name, "process")
		e.counter(c.descs.cacheMisses, float64(s.LocalMisses), cache.Name, "process")
		e.counter(c.descs.cacheHits, float64(s.RedisHits), cache.Name, "redis")
		e.counter(c.descs.cacheMisses, float64(s.RedisMisses), cache.Name, "redis")
		e.counter(c.descs.cacheChanges, float64(s.Changes), cache.Name)
		e.gauge(c.descs.cacheEntries, float64(s.Entries), cache.Name)
		e.gauge(c.descs.cacheBytes, float64(s.Bytes), cache.Name)
	}
}

func (c *collector) pools(e emitter) {
	s := c.Ledger.Stats()
	e.gauge(c.descs.poolMax, float64(s.Max), "ledger")
	e.gauge(c.descs.poolOpen, float64(s.Open), "ledger")
	e.gauge(c.descs.poolInUse, float64(s.InUse), "ledger")
	e.gauge(c.descs.poolIdle, float64(s.Idle), "ledger")
	e.counter(c.descs.poolWaits, float64(s.Waits), "ledger")
	e.counter(c.descs.poolWaitSeconds, s.WaitTime.Seconds(), "ledger")
	r := c.Queue.PoolStats()
	e.gauge(c.descs.poolMax, float64(r.Max), "redis")
	e.gauge(c.descs.poolOpen, float64(r.Open), "redis")
	e.gauge(c.descs.poolInUse, float64(r.Open-r.Idle), "redis")
	e.gauge(c.descs.poolIdle, float64(r.Idle), "redis")
	e.counter(c.descs.poolTimeouts, float64(r.Timeouts), "redis")
}

func (c *collector) queues(ctx context.Context, e emitter) {
	if depths, err := c.freshDepths(ctx); err == nil {
		for _, queue := range millrace.Queues() { // an empty one is told as 0: only what does not answer is missing
			d := depths[queue]
			e.gauge(c.descs.jobs, float64(d.Ready), queue, "ready")
			e.gauge(c.descs.jobs, float64(d.Delayed), queue, "delayed")
			e.gauge(c.descs.jobs, float64(d.Running), queue, "running")
			e.gauge(c.descs.oldest, d.Oldest.Seconds(), queue)
		}
	}
	if sent, err := c.Queue.Depths(ctx); err == nil {
		for queue, n := range sent {
			e.gauge(c.descs.dispatched, float64(n), queue)
		}
	}
}

// freshDepths counts at most once in some seconds, however many scrape.
func (c *collector) freshDepths(ctx context.Context) (map[string]store.Depth, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.read) <= freshFor {
		return c.depths, nil
	}
	depths, err := c.Ledger.Depths(ctx, depthLimit)
	if err != nil {
		return nil, err
	}
	c.depths, c.read = make(map[string]store.Depth, len(depths)), time.Now()
	for _, d := range depths {
		c.depths[d.Queue] = d
	}
	return c.depths, nil
}

func (c *collector) processes(ctx context.Context, e emitter) {
	workers, err := c.Ledger.Workers(ctx)
	if err != nil {
		return
	}
	roles := make(map[string]int)
	var cpu, io, running int
	var used, budget int64
	for _, w := range workers {
		roles[w.Role]++
		cpu, io, running = cpu+w.CPUSlots, io+w.IOSlots, running+len(w.Running)
		used, budget = used+w.MemoryUsed, budget+w.MemoryBudget
	}
	for role, n := range roles {
		e.gauge(c.descs.workers, float64(n), role)
	}
	e.gauge(c.descs.slots, float64(cpu), string(millrace.CPU))
	e.gauge(c.descs.slots, float64(io), string(millrace.IO))
	e.gauge(c.descs.running, float64(running))
	e.gauge(c.descs.memory, float64(used), "reserved")
	e.gauge(c.descs.memory, float64(budget), "budget")
}

type emitter struct{ ch chan<- prometheus.Metric }

func (e emitter) gauge(d *prometheus.Desc, v float64, labels ...string) {
	e.ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (e emitter) counter(d *prometheus.Desc, v float64, labels ...string) {
	e.ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
}
