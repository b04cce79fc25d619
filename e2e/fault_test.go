package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// slowJob takes about a second and more of a core on 64 MiB of noise.
const slowJob = `{"type":"file.compress","input":{"file":%q},"params":{"codec":"gzip","level":"best"},"cache":false}`

// quickJob takes next to nothing.
const quickJob = `{"type":"compute.checksum","input":{"file":%q},"params":{"algorithms":["crc32"]},"cache":false}`

// noise is bytes that no codec makes smaller.
func noise(size int) []byte {
	data := make([]byte, size)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(data)
	return data
}

func TestKilledWorkersJobsRunAgain(t *testing.T) {
	eachMode(t, func(t *testing.T, s *server) {
		f := s.upload("big.bin", noise(32<<20))
		kills := 20
		if testing.Short() {
			kills = 4
		}
		struck := 0
		for range kills {
			a, b := s.submit(slowJob, f.ID), s.submit(slowJob, f.ID)
			struck += s.killOwner(a.ID)
			for _, id := range []string{a.ID, b.ID} {
				checkEnded(t, s.finish(id))
			}
		}
		if struck < kills/2 {
			t.Errorf("only %d of %d kills struck a process with a job running", struck, kills)
		}
	})
}

// killOwner waits until the job runs, kills its process and checks that it starts again. It answers 1 when the kill struck.
func (s *server) killOwner(id string) int {
	s.t.Helper()
	pids := make(map[string]int)
	for _, w := range s.workers("worker") {
		pids[w.ID] = w.PID
	}
	owner := 0
	eventually(s.t, 30*time.Second, "job "+id+" running", func() bool {
		j := s.job(id)
		if j.State == "running" && len(j.Attempts) > 0 {
			worker := j.Attempts[len(j.Attempts)-1].Worker
			if owner = pids[worker]; owner == 0 { // a process that has just started
				for _, w := range s.workers("worker") {
					pids[w.ID] = w.PID
				}
			}
		}
		return owner != 0 || final(j.State)
	})
	if owner == 0 || syscall.Kill(owner, syscall.SIGKILL) != nil {
		return 0
	}
	killed := time.Now()
	j := s.finish(id)
	for _, a := range j.Attempts {
		if a.Outcome == "crashed" {
			last := j.Attempts[len(j.Attempts)-1]
			s.t.Logf("ran again %v after the kill", last.StartedAt.Sub(killed).Round(time.Millisecond))
			return 1
		}
	}
	return 0
}

func TestKilledCoreRefusesNobody(t *testing.T) {
	s := start(t, "embedded")
	f := s.upload("tiny.bin", noise(64))
	big := s.upload("big.bin", noise(16<<20))
	var ids sync.Map
	for range 4 {
		ids.Store(s.submit(slowJob, big.ID).ID, true)
	}
	for range 100 {
		ids.Store(s.submit(quickJob, f.ID).ID, true)
	}
	var refused atomic.Int64
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				// A connection of its own each time: it must be accepted, though an open one may break.
				c := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
				res, err := c.Post(s.url+"/v1/jobs", "application/json", bytes.NewReader(fmt.Appendf(nil, quickJob, f.ID)))
				if isRefused(err) {
					refused.Add(1)
				}
				if err != nil {
					continue
				}
				var j job
				if err := json.NewDecoder(res.Body).Decode(&j); err == nil && res.StatusCode == http.StatusAccepted {
					ids.Store(j.ID, true)
				}
				res.Body.Close()
			}
		})
	}
	for range 3 {
		core := s.workers("core")
		if len(core) != 1 {
			t.Fatalf("core processes = %+v, want one", core)
		}
		if err := syscall.Kill(core[0].PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, 30*time.Second, "a new core", func() bool {
			now := s.workers("core")
			return len(now) == 1 && now[0].PID != core[0].PID
		})
	}
	close(stop)
	clients.Wait()
	if n := refused.Load(); n > 0 {
		t.Errorf("%d connections were refused while core restarted", n)
	}
	s.checkAll(&ids)
}

func isRefused(err error) bool {
	return err != nil && bytes.Contains([]byte(err.Error()), []byte("connection refused"))
}

// checkAll waits for every accepted job.
func (s *server) checkAll(ids *sync.Map) {
	s.t.Helper()
	n := 0
	ids.Range(func(id, _ any) bool {
		n++
		checkEnded(s.t, s.finish(id.(string)))
		return true
	})
	s.t.Logf("%d jobs accepted, all ended", n)
}

func TestEverythingKilledInTheMiddle(t *testing.T) {
	eachMode(t, func(t *testing.T, s *server) {
		f := s.upload("tiny.bin", noise(64))
		big := s.upload("big.bin", noise(16<<20))
		var ids sync.Map
		for i := range 1000 {
			spec := quickJob
			id := f.ID
			if i%200 == 0 {
				spec, id = slowJob, big.ID
			}
			ids.Store(s.submit(spec, id).ID, true)
		}
		s.killAll()
		s.up()
		s.checkAll(&ids)
	})
}

// What was half-written when everything died does not fill the disk of the next run.
func TestHalfWrittenBytesGoAtTheNextStart(t *testing.T) {
	s := start(t, "embedded")
	s.killAll()
	left := filepath.Join(s.dir, "data", "blobs", "tmp", "left")
	if err := os.WriteFile(left, noise(64), 0o600); err != nil {
		t.Fatal(err)
	}
	s.up()
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s: %v, want it gone", left, err)
	}
}

func TestFlushedRedis(t *testing.T) {
	s := start(t, "production")
	f := s.upload("tiny.bin", noise(64))
	big := s.upload("big.bin", noise(16<<20))
	options, err := redis.ParseURL(s.redis)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	defer client.Close()
	var ids sync.Map
	for range 4 {
		ids.Store(s.submit(slowJob, big.ID).ID, true)
	}
	for range 1000 {
		ids.Store(s.submit(quickJob, f.ID).ID, true)
	}
	if err := client.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	s.checkAll(&ids)
}

func TestNothingIsLeftBehind(t *testing.T) {
	before, err := os.ReadDir(os.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, "embedded")
	s.stop()
	after, err := os.ReadDir(os.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	known := make(map[string]bool)
	for _, e := range before {
		known[e.Name()] = true
	}
	for _, e := range after {
		if !known[e.Name()] && bytes.HasPrefix([]byte(e.Name()), []byte("millrace-")) {
			t.Errorf("%s was left in the temporary directory", e.Name())
		}
	}
}
