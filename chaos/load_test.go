//go:build linux

package chaos_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store/storetest"
)

// load is what clients ask for while things break, and what they heard.
type load struct {
	t       testing.TB
	f       *fleet
	rate    int // jobs a second
	history *storetest.History
	inputs  map[string]string // file ids by name
	keys    bool              // the server takes idempotency keys
	client  *http.Client

	made    atomic.Int64
	hold    atomic.Bool // the backlog is long enough
	busy    atomic.Bool // that of the jobs that compute is
	mu      sync.Mutex
	jobs    map[string]*request // by token
	refused []string            // answers that a right request must not get
}

// request is one job that a client asks for until it knows what became of it.
type request struct {
	token, kind string
	body        []byte
	id          string // once acknowledged
	unknown     int    // times that it was left without an answer
}

const clients = 16

// batches is how many of a thousand requests are for a batch.
const batches = 8

func newLoad(t testing.TB, f *fleet, rate int) *load {
	l := &load{t: t, f: f, rate: rate, inputs: make(map[string]string), jobs: make(map[string]*request), history: &storetest.History{Token: tokenOf},
		client: &http.Client{Timeout: 8 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: clients}}}
	t.Cleanup(l.client.CloseIdleConnections)
	l.upload("tiny", noise(64))
	l.upload("short", noise(4<<20))
	l.upload("long", noise(48<<20))
	l.upload("picture", picture())
	l.upload("broken", []byte("\xff\xd8\xff\xe0 this is no picture"))
	l.probeKeys()
	return l
}

// tokenOf finds the request that a job belongs to.
func tokenOf(j *millrace.Job) string {
	if len(j.Tags) == 0 {
		return ""
	}
	return j.Tags[0]
}

func (l *load) upload(name string, data []byte) {
	l.t.Helper()
	res, err := l.client.Post(l.f.url+"/v1/files?name="+name, "application/octet-stream", bytes.NewReader(data))
	if err != nil {
		l.t.Fatal(err)
	}
	defer res.Body.Close()
	var file struct{ ID string }
	if err := json.NewDecoder(res.Body).Decode(&file); err != nil || res.StatusCode != http.StatusCreated {
		l.t.Fatalf("upload %s: %d, %v", name, res.StatusCode, err)
	}
	l.inputs[name] = file.ID
}

// probeKeys asks whether this server takes idempotency keys. Without them a request that was not answered is not repeated, only looked for.
func (l *load) probeKeys() {
	r := l.next("checksum")
	status, _ := l.post(context.Background(), r, true)
	l.keys = status == http.StatusAccepted
	if !l.keys {
		l.t.Log("this server takes no idempotency keys: requests without an answer are not repeated")
	}
}

// Shares of a thousand jobs, the rest are checksums of a few bytes.
var shares = []struct {
	kind string
	n    int
}{{"resize", 20}, {"cached", 30}, {"later", 10}, {"short", 8}, {"broken", 6}, {"canceled", 6}, {"long", 1}}

func (l *load) next(kind string) *request {
	token := fmt.Sprintf("op-%06d", l.made.Add(1))
	if kind == "" && l.busy.Load() {
		kind = "checksum"
	}
	if kind == "" {
		kind = "checksum"
		for i, share := rand.IntN(1000), 0; share < len(shares); share++ {
			if i -= shares[share].n; i < 0 {
				kind = shares[share].kind
				break
			}
		}
	}
	body := map[string]any{"type": "compute.checksum", "params": map[string]any{"algorithms": []string{"crc32"}}, "cache": false, "tags": []string{token},
		"input": map[string]string{"file": l.inputs["tiny"]}}
	file := func(name string) { body["input"] = map[string]string{"file": l.inputs[name]} }
	switch kind {
	case "cached":
		body["cache"] = true
	case "later":
		body["delay"] = "1500ms"
	case "resize", "broken":
		file(map[string]string{"resize": "picture", "broken": "broken"}[kind])
		body["type"], body["params"] = "image.resize", map[string]any{"width": 16 + rand.IntN(200), "format": "jpeg", "quality": 1 + rand.IntN(90)}
	case "short", "long":
		file(kind)
		body["type"], body["params"] = "file.compress", map[string]any{"codec": "gzip", "level": "best"}
	}
	raw, err := json.Marshal(body)
	if err != nil {
		l.t.Error(err)
	}
	r := &request{token: token, kind: kind, body: raw}
	l.mu.Lock()
	l.jobs[token] = r
	l.mu.Unlock()
	return r
}

// run submits until submitting ends; requests without an answer are repeated until ctx does.
func (l *load) run(submitting, ctx context.Context) {
	turns := make(chan struct{}, l.rate) // a client that waits for an answer makes nobody late but itself
	var all sync.WaitGroup
	all.Go(func() {
		defer close(turns)
		tick := time.NewTicker(time.Second / time.Duration(l.rate))
		defer tick.Stop()
		for {
			select {
			case <-submitting.Done():
				return
			case <-tick.C:
			}
			if l.hold.Load() {
				continue
			}
			select {
			case turns <- struct{}{}:
			default:
			}
		}
	})
	all.Go(func() { l.watchBacklog(submitting) })
	for range clients {
		all.Go(func() {
			for range turns {
				if l.keys && rand.IntN(1000) < batches {
					l.submitBatch(ctx)
				} else {
					l.submit(ctx, l.next(""))
				}
			}
		})
	}
	all.Wait()
}

// watchBacklog lets the clients pause while much is queued: the run is about faults, and a backlog would hide how long they last.
func (l *load) watchBacklog(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var page struct {
			Items []struct {
				Pool  millrace.Pool
				Depth int
			} `json:"items"`
		}
		if status, _, err := l.f.call(ctx, l.client, "GET", "/v1/queues", nil, nil, &page); err != nil || status != http.StatusOK {
			continue
		}
		ready := make(map[millrace.Pool]int)
		for _, q := range page.Items {
			ready[q.Pool] += q.Depth
		}
		l.hold.Store(ready[millrace.IO] > 4*l.rate)
		l.busy.Store(ready[millrace.CPU] > 4)
	}
}

// submit asks until it knows.
func (l *load) submit(ctx context.Context, r *request) {
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		status, known := l.post(ctx, r, l.keys)
		if known || !l.keys && status != http.StatusConflict && status != http.StatusTooManyRequests {
			break
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
	if r.kind == "canceled" && r.id != "" {
		_, _, _ = l.f.call(ctx, l.client, "POST", "/v1/jobs/"+r.id+"/cancel", nil, nil, nil) // whatever becomes of that
	}
}

// spends is how many attempts a job of the kind ends by itself; 0: that depends.
func spends(kind string) int {
	if kind == "canceled" || kind == "cached" {
		return 0
	}
	return 1
}

// post asks once and says whether the fate of the job is known now.
func (l *load) post(ctx context.Context, r *request, key bool) (status int, known bool) {
	s := storetest.Submission{Token: r.token, Tenant: millrace.DefaultTenant, Spends: spends(r.kind)}
	header := map[string]string{}
	if key {
		s.Idempotency = "key-" + r.token
		header["Idempotency-Key"] = s.Idempotency
	}
	l.history.Attempted(s)
	var job struct{ ID, Detail, Code string }
	status, _, err := l.f.call(ctx, l.client, "POST", "/v1/jobs", r.body, header, &job)
	switch {
	case err == nil && (status == http.StatusAccepted || status == http.StatusOK):
		l.history.Acknowledged(r.token, job.ID)
		l.mu.Lock()
		r.id = job.ID
		l.mu.Unlock()
		return status, true
	case err == nil && (status == http.StatusTooManyRequests || status == http.StatusConflict):
		l.history.Refused(r.token)
		return status, false
	case err == nil && status < 500:
		l.history.Refused(r.token)
		if job.Code != "not_available" {
			l.mu.Lock()
			l.refused = append(l.refused, fmt.Sprintf("%s (%s): %d %s", r.token, r.kind, status, job.Detail))
			l.mu.Unlock()
		}
		return status, true
	}
	l.mu.Lock()
	r.unknown++
	l.mu.Unlock()
	return status, false
}

// tally counts what clients heard.
func (l *load) tally() (accepted, unknown, repeated int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.jobs {
		if r.id != "" {
			accepted++
		} else {
			unknown++
		}
		repeated += r.unknown
	}
	return accepted, unknown, repeated
}

// noise is bytes that no codec makes smaller.
func noise(size int) []byte {
	data := make([]byte, size)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(data)
	return data
}

func picture() []byte {
	m := image.NewRGBA(image.Rect(0, 0, 320, 240))
	for y := range 240 {
		for x := range 320 {
			m.Set(x, y, color.RGBA{uint8(x), uint8(y), uint8(x * y), 255})
		}
	}
	var b strings.Builder
	_ = jpeg.Encode(&b, m, nil)
	return []byte(b.String())
}
