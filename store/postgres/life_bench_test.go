package postgres_test

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/postgres"
)

// BenchmarkLife takes jobs from their insert to their end in groups, and reports for each of the three steps what it cost: CPU time of the server
// and of this process, and the rate. Run it as
//
//	go test -run '^$' -bench Life -benchtime 20000x ./store/postgres
func BenchmarkLife(b *testing.B) {
	for _, shape := range []string{"plain", "input"} {
		for _, size := range []int{1, 4, 16, 64} {
			b.Run(fmt.Sprintf("%s/%d", shape, size), func(b *testing.B) { benchmarkLife(b, shape == "input", size) })
		}
	}
}

func benchmarkLife(b *testing.B, withInput bool, size int) {
	l := open(b, testenv.Postgres(b))
	w := newWorker(b, l)
	var input millrace.File
	if withInput {
		input = uploaded(b, l)
	}
	groups := max(1, b.N/size)
	jobs := make([][]store.NewJob, groups)
	deliveries, outcomes := make([][]store.Delivery, groups), make([][]store.Outcome, groups)
	for i := range jobs {
		for range size {
			j := newJob()
			if withInput {
				j.Inputs = []millrace.Input{{File: input.ID}}
			}
			jobs[i] = append(jobs[i], store.NewJob{Job: j, DispatchAfter: time.Second})
			deliveries[i] = append(deliveries[i], store.Delivery{Job: j.ID, Fence: 1})
		}
	}
	server := postmaster(b, l)
	b.ResetTimer()
	cost := map[string]*stepCost{"insert": {}, "claim": {}, "finish": {}}
	measure := func(name string, from, to int, run func(i int)) {
		c, serverBefore := cost[name], serverCPU(b, server)
		began, clientBefore := time.Now(), clientCPU(b)
		twoAtOnce(from, to, run)
		c.client += clientCPU(b) - clientBefore
		c.elapsed += time.Since(began)
		c.server += serverCPU(b, server) - serverBefore
	}
	measure("insert", 0, groups, func(i int) {
		for _, err := range l.Insert(b.Context(), jobs[i]) {
			if err != nil {
				b.Error(err)
			}
		}
	})
	atOnce := max(2, 128/size) // so many groups run at the same time, as many jobs as a worker has slots
	for from := 0; from < groups; from += atOnce {
		to := min(groups, from+atOnce)
		measure("claim", from, to, func(i int) { outcomes[i] = claim(b, l, w, deliveries[i]) })
		measure("finish", from, to, func(i int) { finish(b, l, outcomes[i]) })
	}
	n := float64(groups * size)
	for name, c := range cost {
		b.ReportMetric(float64(c.server.Nanoseconds())/1000/n, name+"-server-µs")
		b.ReportMetric(float64(c.client.Nanoseconds())/1000/n, name+"-client-µs")
		b.ReportMetric(n/c.elapsed.Seconds(), name+"/s")
	}
	b.ReportMetric(float64((cost["insert"].server+cost["claim"].server+cost["finish"].server).Nanoseconds())/1000/n, "server-µs")
}

type stepCost struct{ server, client, elapsed time.Duration }

func uploaded(tb testing.TB, l *postgres.Ledger) millrace.File {
	tb.Helper()
	out := newOutput()
	f := millrace.File{
		ID: newID(), Tenant: millrace.DefaultTenant, Name: "in", Size: 64, SHA256: out.SHA256, ContentType: "text/plain", Blob: out.Blob,
		ExpiresAt: time.Now().Add(24 * time.Hour),
	}
	if err := l.CreateFile(tb.Context(), f, nil); err != nil {
		tb.Fatal(err)
	}
	return f
}

// twoAtOnce runs the groups on two connections, as a process does that commits one group while the next gathers.
func twoAtOnce(from, to int, run func(i int)) {
	next := make(chan int)
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for i := range next {
				run(i)
			}
		})
	}
	for i := from; i < to; i++ {
		next <- i
	}
	close(next)
	all.Wait()
}

func postmaster(tb testing.TB, l *postgres.Ledger) int {
	tb.Helper()
	if runtime.GOOS != "linux" {
		tb.Skip("reads /proc")
	}
	var backend int
	if err := l.Pool().QueryRow(tb.Context(), "SELECT pg_backend_pid()").Scan(&backend); err != nil {
		tb.Fatal(err)
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", backend))
	if err != nil {
		tb.Skipf("not a server on this machine: %v", err)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // after the command's name: state, parent, …
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		tb.Fatal(err)
	}
	return parent
}

// serverCPU is what the server's living processes have used: its connections stay open through a step.
func serverCPU(tb testing.TB, postmaster int) (sum time.Duration) {
	tb.Helper()
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", postmaster))
	if err != nil {
		tb.Skipf("no list of the server's processes: %v", err)
	}
	for _, pid := range strings.Fields(string(children)) {
		text, err := os.ReadFile("/proc/" + pid + "/schedstat")
		if err != nil {
			continue // it has ended
		}
		if fields := strings.Fields(string(text)); len(fields) > 0 {
			ns, _ := strconv.ParseInt(fields[0], 10, 64)
			sum += time.Duration(ns)
		}
	}
	return sum
}

func clientCPU(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
