package supervise_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/supervise"
	"github.com/millrace/millrace/internal/supervise/graceful"
)

// The test binary plays its own children: with roleVariable set it is one of them.
const (
	roleVariable  = "SUPERVISE_TEST_ROLE"
	traceVariable = "SUPERVISE_TEST_TRACE"
	nameVariable  = "SUPERVISE_TEST_NAME"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(play(role))
	}
	os.Exit(m.Run())
}

// play is a child's main. Exit code 3 says that the test itself is broken.
func play(role string) int {
	in, err := supervise.Inherit()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 3
	}
	switch role {
	case "config":
		fmt.Fprintln(os.Stderr, "setting X is wrong")
		return supervise.CodeConfig
	case "early":
		return 1
	case "ready then 2":
		in.Ready()
		return 2
	case "ready":
		return untilSignal(in, func() {})
	case "trace":
		return untilSignal(in, func() {
			trace("term")
			trace("end")
		})
	case "caller":
		return call(in)
	case "on demand":
		return onDemand(in)
	case "panics":
		in.Ready()
		for i := range 100 {
			fmt.Fprintln(os.Stderr, "line", i)
		}
		panic("the job was too much")
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		in.Ready()
		select {}
	case "stubborn speaker":
		terms := make(chan os.Signal, 1)
		signal.Notify(terms, syscall.SIGTERM)
		in.Ready()
		<-terms
		fmt.Println("asked to end")
		select {}
	case "http":
		return serveHTTP(in)
	case "endless drain":
		return drainForEver(in)
	case "orphan":
		return orphan(in)
	case "supervisor":
		return superviseReal()
	}
	return 3
}

func untilSignal(in *supervise.Inherited, drain func()) int {
	ctx, _, release := supervise.Notify(context.Background())
	defer release()
	if err := in.Ready(); err != nil {
		return 3
	}
	<-ctx.Done()
	drain()
	return 0
}

// trace appends one line to the file that all children of a test share.
func trace(what string) {
	f, err := os.OpenFile(os.Getenv(traceVariable), os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		os.Exit(3)
	}
	defer f.Close()
	fmt.Fprintln(f, os.Getenv(nameVariable), what)
}

func serveHTTP(in *supervise.Inherited) int {
	ctx, _, release := supervise.Notify(context.Background())
	defer release()
	l, err := in.Listener("http")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 3
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, os.Getpid()) })}
	in.Ready()
	if err := graceful.Serve(ctx, server, l, time.Minute); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// drainForEver stops accepting when it is told to end, and never ends.
func drainForEver(in *supervise.Inherited) int {
	terms := make(chan os.Signal, 1)
	signal.Notify(terms, syscall.SIGTERM)
	l, err := in.Listener("http")
	if err != nil {
		return 3
	}
	in.Ready()
	<-terms
	l.Close()
	select {}
}

// superviseReal is a whole supervisor process, with the children named in nameVariable; it prints what happens, one line each.
func superviseReal() int {
	ctx, signals, release := supervise.Notify(context.Background())
	defer release()
	var mu sync.Mutex
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Printf(format+"\n", args...)
	}
	var children []supervise.Child
	for role := range strings.SplitSeq(os.Getenv(nameVariable), ",") {
		children = append(children, supervise.Child{
			Name: role, Command: as(role),
			OnReady: func(_, pid int) { say("ready %d", pid) },
			OnExit:  func(e supervise.Exit) { say("exit %d %s", e.PID, e.State) },
		})
	}
	err := supervise.Run(ctx, supervise.Config{
		Children: children, Kill: signals.Kill, Roll: signals.Roll,
		OnReady: func() { say("all ready") }, Grace: time.Hour, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	say("ended: %v", err)
	return supervise.ExitCode(err)
}

// as makes commands that start this binary in a role, with more environment if wanted. Under the race detector a process would wait for a second at its end.
func as(role string, env ...string) func(int) *exec.Cmd {
	return func(int) *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(append(os.Environ(), roleVariable+"="+role, "GORACE=atexit_sleep_ms=0"), env...)
		return cmd
	}
}

// event is something that happened to a child, as the callbacks told it.
type event struct {
	kind     string // start, ready, exit
	name     string
	instance int
	pid      int
	exit     supervise.Exit
}

// bench runs a supervisor inside the test and records its events.
type bench struct {
	t      *testing.T
	events chan event
	roll   chan struct{}
	kill   chan struct{}
	stop   context.CancelFunc
	result chan error
	log    *logbook
}

// run starts the supervisor; it is stopped at the end of the test if it still runs.
func run(t *testing.T, cfg supervise.Config) *bench {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	b := &bench{
		t: t, events: make(chan event, 1000), roll: make(chan struct{}, 1), kill: make(chan struct{}),
		stop: stop, result: make(chan error, 1), log: &logbook{changed: make(chan struct{}, 1)},
	}
	for i := range cfg.Children {
		b.record(&cfg.Children[i])
	}
	cfg.Kill, cfg.Roll = b.kill, b.roll
	cfg.Log = slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		b.result <- supervise.Run(ctx, cfg)
	}()
	t.Cleanup(func() {
		stop()
		<-finished
		if t.Failed() {
			t.Log(b.log.String())
		}
	})
	return b
}

func (b *bench) record(c *supervise.Child) {
	name, onStart, onExit := c.Name, c.OnStart, c.OnExit
	c.OnStart = func(i, pid int) {
		b.events <- event{kind: "start", name: name, instance: i, pid: pid}
		if onStart != nil {
			onStart(i, pid)
		}
	}
	c.OnReady = func(i, pid int) { b.events <- event{kind: "ready", name: name, instance: i, pid: pid} }
	c.OnExit = func(e supervise.Exit) {
		if onExit != nil {
			onExit(e)
		}
		b.events <- event{kind: "exit", name: e.Name, instance: e.Instance, pid: e.PID, exit: e}
	}
}

const patience = 30 * time.Second

// next is the next event of a kind; others are passed over.
func (b *bench) next(kind string) event {
	b.t.Helper()
	limit := time.After(patience)
	for {
		select {
		case e := <-b.events:
			if e.kind == kind {
				return e
			}
		case <-limit:
			b.t.Fatalf("no %s within %s\n%s", kind, patience, b.log)
		}
	}
}

// ready waits for n instances to report ready and returns their pids in that order.
func (b *bench) ready(n int) []int {
	b.t.Helper()
	var pids []int
	for range n {
		pids = append(pids, b.next("ready").pid)
	}
	return pids
}

// end is what Run returned.
func (b *bench) end() error {
	b.t.Helper()
	select {
	case err := <-b.result:
		return err
	case <-time.After(patience):
		b.t.Fatalf("Run did not return within %s\n%s", patience, b.log)
		return nil
	}
}

// rest is every event not yet taken, for use after end.
func (b *bench) rest() []event {
	close(b.events)
	var all []event
	for e := range b.events {
		all = append(all, e)
	}
	return all
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatalf("kill %d: %v", pid, err)
	}
}

// logbook keeps log lines and lets a test wait for one.
type logbook struct {
	mu      sync.Mutex
	text    strings.Builder
	changed chan struct{}
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.changed <- struct{}{}:
	default:
	}
	return l.text.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logbook) wait(t *testing.T, text string) {
	t.Helper()
	limit := time.After(patience)
	for !strings.Contains(l.String(), text) {
		select {
		case <-l.changed:
		case <-limit:
			t.Fatalf("nothing was logged that holds %q:\n%s", text, l)
		}
	}
}

// program is a process that a test started itself, and its output line by line.
type program struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines chan string
}

func startProgram(t *testing.T, cmd *exec.Cmd) *program {
	t.Helper()
	out, in := io.Pipe()
	cmd.Stdout, cmd.Stderr = in, os.Stderr
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &program{t: t, cmd: cmd, lines: make(chan string, 1000)}
	go func() {
		defer close(p.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	waited := make(chan struct{})
	go func() {
		defer close(waited)
		_ = cmd.Wait() // the tests read ProcessState
		in.Close()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-waited
	})
	return p
}

// line is the next line that begins with prefix, without it.
func (p *program) line(prefix string) string {
	p.t.Helper()
	limit := time.After(patience)
	for {
		select {
		case l, ok := <-p.lines:
			if !ok {
				p.t.Fatalf("the program ended without a line %q", prefix)
			}
			if rest, ok := strings.CutPrefix(l, prefix); ok {
				return rest
			}
		case <-limit:
			p.t.Fatalf("no line %q within %s", prefix, patience)
		}
	}
}

func (p *program) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// insist sends a signal again and again until a line comes that begins with prefix.
func (p *program) insist(s os.Signal, prefix string) {
	p.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for {
		select {
		case l := <-p.lines:
			if strings.HasPrefix(l, prefix) {
				return
			}
		case <-tick.C:
			_ = p.cmd.Process.Signal(s) // it may have ended; then its line comes
		case <-limit:
			p.t.Fatalf("no line %q within %s", prefix, patience)
		}
	}
}

// exit waits for the program and returns its exit code.
func (p *program) exit() int {
	p.t.Helper()
	limit := time.After(patience)
	for {
		select {
		case _, ok := <-p.lines:
			if !ok { // closed after Wait
				return p.cmd.ProcessState.ExitCode()
			}
		case <-limit:
			p.t.Fatalf("the program did not end within %s", patience)
		}
	}
}

// gone waits until a process that is not ours to wait for has ended.
func gone(t *testing.T, pid int) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for {
		if _, alive := supervise.ProcessStart(pid); !alive {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("process %d still lives after %s", pid, patience)
		}
	}
}
