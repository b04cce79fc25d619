package sim_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store/sqlite"
	"github.com/millrace/millrace/store/storetest"
)

// world is one simulated installation: its stores, its processes, its clients and its weather.
type world struct {
	rig     *rig
	seed    uint64
	plan    plan
	ledger  *sqlite.Ledger
	bytes   *bytesStore
	redis   *dispatchServer
	history *storetest.History
	watch   *watch
	slots   []*slot
	trace   *trace
	files   []millrace.File // uploaded before the first fault

	tasks sync.WaitGroup // every goroutine of the world, so that none outlives it

	mu      sync.Mutex // guards what follows
	loud    bool       // commands to Redis are in the trace
	calm    bool       // the faults are over
	ending  bool       // nothing is started again
	skew    time.Duration
	struck  map[string]int
	held    map[string]holding // by slot and token
	calls   map[string]int     // handlers called, by token
	brought map[string]string  // the file that a client uploaded for its job, by token
	wrong   []string
	drained time.Duration // the longest drain
}

// holding is the attempt that a process was given for a token.
type holding struct {
	fence   int64
	pid     int
	run     int
	attempt int
}

// dice are the chance of one event: the same for the same seed and the same name of the event, whatever happened before.
type dice struct{ *rand.Rand }

func (w *world) dice(parts ...any) dice { return throw(w.seed, parts...) }

func throw(seed uint64, parts ...any) dice {
	h := fnv.New64a()
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			_, _ = h.Write([]byte(p))
		case int:
			_, _ = h.Write([]byte{byte(p), byte(p >> 8), byte(p >> 16), byte(p >> 24)})
		default:
			_, _ = fmt.Fprint(h, p)
		}
		_, _ = h.Write([]byte{0})
	}
	return dice{rand.New(rand.NewPCG(seed, h.Sum64()))}
}

func (d dice) between(low, high time.Duration) time.Duration {
	return low + time.Duration(d.Int64N(int64(high-low)))
}

func (d dice) chance(p float64) bool { return d.Float64() < p }

// now is the clock of the ledger and the apis.
func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.skew)
}

func (w *world) leap(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.skew += d
}

func (w *world) healed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calm
}

func (w *world) ended() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ending
}

// strike counts a fault that did strike.
func (w *world) strike(kind string) {
	w.trace.add("fault", kind)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.struck[kind]++
}

// wrongly notes a violation.
func (w *world) wrongly(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.trace.add("VIOLATION", text)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrong = append(w.wrong, text)
}

func (w *world) violations() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.wrong)
}

// later does something in a while, whatever becomes of who asked for it.
func (w *world) later(d time.Duration, fn func()) {
	w.tasks.Go(func() {
		time.Sleep(d)
		fn()
	})
}

// note traces a call.
func (w *world) note(p *process, op string, err error) {
	if w.trace == nil {
		return
	}
	text := ""
	if err != nil {
		text = " = " + err.Error()
	}
	w.trace.add(p.String(), op+text)
}

// holds notes that a process was told that a job is its own.
func (w *world) holds(p *process, j *millrace.Job) {
	w.mu.Lock()
	w.held[p.slot.name+" "+tokenOf(j)] = holding{fence: j.Fence, pid: p.pid, run: j.Run, attempt: j.Attempt}
	w.mu.Unlock()
	w.trace.add(p.String(), fmt.Sprintf("holds %s fence %d", tokenOf(j), j.Fence))
	w.history.Claimed(j.WorkerID, j)
}

// lives says whether the worker may claim, by the ledger's word.
func (w *world) lives(worker string) (bool, error) {
	live, err := w.ledger.Workers(context.Background())
	return slices.ContainsFunc(live, func(w millrace.Worker) bool { return w.ID == worker }), err
}

func tokenOf(j *millrace.Job) string {
	if len(j.Tags) == 0 {
		return j.ID
	}
	return j.Tags[0]
}

// scratch is where ledgers live: memory where there is a file system of it, since a simulated disk need not survive anything.
func scratch(t testing.TB) string {
	if dir, err := os.MkdirTemp("/dev/shm", "millrace-sim-"); err == nil {
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		return dir
	}
	return t.TempDir()
}

// template makes a ledger that is migrated and empty; each world begins with a copy of it.
func template(t testing.TB, dir string) []byte {
	t.Helper()
	path := filepath.Join(dir, "template.db")
	l, err := sqlite.Open(t.Context(), sqlite.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// newWorld opens the stores. It runs in the bubble.
func newWorld(r *rig, seed uint64, traced bool) (*world, error) {
	w := &world{
		rig: r, seed: seed, bytes: newBytesStore(), struck: map[string]int{}, held: map[string]holding{}, calls: map[string]int{},
		brought: map[string]string{},
		history: &storetest.History{Token: tokenOf},
	}
	if traced {
		w.trace = &trace{began: time.Now()}
		w.loud = os.Getenv("SIM_TRACE") == "redis"
	}
	w.watch = newWatch(w)
	w.plan = newPlan(seed)
	path := filepath.Join(r.dir, "ledger.db")
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(path + suffix); err != nil && !os.IsNotExist(err) {
			return nil, err
		}
	}
	if err := os.WriteFile(path, r.empty, 0o600); err != nil {
		return nil, err
	}
	var err error
	if w.ledger, err = sqlite.Open(context.Background(), sqlite.Config{Path: path, Now: w.now}); err != nil {
		return nil, err
	}
	if w.redis, err = newDispatchServer(); err != nil {
		return nil, err
	}
	return w, w.upload()
}

// upload writes the files that jobs work on. Others came hours ago and have the bytes that the jobs' outputs or the clients' own uploads have: some expire
// at the beginning, so that their bytes are collected while others write the same ones, the others when the clean-up has its turn, while outputs still
// share them.
func (w *world) upload() error {
	d := w.dice("files")
	const ago = 2 * time.Hour
	for i := range outputs {
		keep := d.between(-3*time.Second, 6*time.Second)
		if i >= outputs/2 {
			keep = d.between(2*time.Minute, 100*time.Minute)
		}
		if _, err := w.uploadOne(outputBytes(i+1), ago+keep); err != nil {
			return err
		}
	}
	for i := uploads / 2; i < uploads; i++ {
		if _, err := w.uploadOne(uploadBytes(i), ago+w.dice("chaff", i).between(-3*time.Second, 8*time.Second)); err != nil {
			return err
		}
	}
	w.leap(ago)
	if err := w.schedule(d); err != nil {
		return err
	}
	for i := range 4 {
		f, err := w.uploadOne(fmt.Appendf(nil, "grain %d", i%3), d.between(2*time.Second, 48*time.Hour)) // two have the same bytes
		if err != nil {
			return err
		}
		w.files = append(w.files, f)
	}
	return nil
}

func (w *world) uploadOne(data []byte, keep time.Duration) (millrace.File, error) {
	sum := sumOf(data)
	key, known, err := w.ledger.TakeBlob(context.Background(), tenant, sum)
	if err != nil {
		return millrace.File{}, err
	}
	if !known {
		key = w.bytes.put(data, w.now())
	}
	f := millrace.File{
		ID: w.id(), Tenant: tenant, Name: "grain.txt", Size: int64(len(data)), SHA256: sum, Blob: key, ContentType: "text/plain",
		CreatedAt: w.now(), ExpiresAt: w.now().Add(keep),
	}
	return f, w.ledger.CreateFile(context.Background(), f, nil)
}

const tenant = millrace.DefaultTenant

// close ends the stores, after every goroutine of the world.
func (w *world) close() error {
	w.redis.close()
	return w.ledger.Close()
}

// trace is what happened, in order, with the virtual time.
type trace struct {
	began time.Time
	mu    sync.Mutex
	lines []string
}

func (t *trace) add(who, what string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, fmt.Sprintf("%12.6f %-14s %s", time.Since(t.began).Seconds(), who, what))
}

// digest is the trace without what differs between two runs of one seed: ids are made of the time of the seeds before, too.
func (t *trace) digest() []string {
	ids := map[string]string{}
	lines := make([]string, len(t.lines))
	for i, line := range t.lines {
		lines[i] = idPattern.ReplaceAllStringFunc(line, func(id string) string {
			if ids[id] == "" {
				ids[id] = fmt.Sprintf("id-%d", len(ids))
			}
			return ids[id]
		})
	}
	return lines
}

var idPattern = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

func (t *trace) String() string { return strings.Join(t.lines, "\n") }

// logger brings what a process logs into the trace.
func (w *world) logger(p *process) *slog.Logger {
	if w.trace == nil {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(traceLog{w.trace, p.String()})
}

type traceLog struct {
	trace *trace
	who   string
}

func (h traceLog) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }
func (h traceLog) WithAttrs([]slog.Attr) slog.Handler           { return h }
func (h traceLog) WithGroup(string) slog.Handler                { return h }
func (h traceLog) Handle(_ context.Context, r slog.Record) error {
	text := "log: " + r.Message
	r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
	text, _, _ = strings.Cut(text, "\n") // a stack is no news
	h.trace.add(h.who, text)
	return nil
}
