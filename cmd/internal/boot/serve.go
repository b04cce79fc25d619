package boot

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/supervise"
)

// lockWait is how long serve waits for a server that is just ending.
const lockWait = 5 * time.Second

// healthy is how long a child must have lived for its death to be no start of a loop: then it is back after a tenth of a second, because the jobs
// of a killed process wait for it. A child that dies sooner, as by a job that kills it, is started less and less often.
const healthy = time.Second

// serve is the supervisor of an embedded server: it owns the sockets, the lock and the processes, and does nothing that it could crash on.
func (p *process) serve(ctx context.Context) error {
	dir, err := filepath.Abs(p.config.DataDir)
	if err != nil {
		return configError("--data-dir: %v", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return configError("--data-dir %s cannot be made: %v", p.config.DataDir, err)
	}
	lock, err := supervise.Lock(ctx, dir, lockWait)
	if err != nil {
		return held(err)
	}
	defer lock.Close()
	sockets, err := openSockets(ctx, p.config.Addr, dir)
	if err != nil {
		return err
	}
	defer sockets.Close()

	env := []string{nonceVariable + "=" + rand.Text(), redisVariable + "=" + rand.Text(), socketsVariable + "=" + sockets.dir}
	files := map[string]*os.File{lockFile: lock.File()}
	coreFiles := map[string]*os.File{lockFile: lock.File(), httpSocket: sockets.http.File(), ledgerSocket: sockets.ledger.File(),
		dispatchSocket: sockets.dispatch.File()}
	return supervised(supervise.Run(ctx, supervise.Config{
		Children: []supervise.Child{
			{Name: childCore, Command: command(childCore, env...), Files: coreFiles, MaxDelay: time.Second},
			{Name: childWorker, Count: p.config.Workers, Command: command(childWorker, env...), Files: files, Nice: workerNice},
		},
		Grace:   p.config.Grace,
		Healthy: healthy,
		OnReady: func() { welcome(os.Stdout, sockets.url(), p.config) },
		Kill:    p.signals.Kill, Roll: p.signals.Roll, Log: p.log,
	}))
}

// socketsPrefix begins the name of a directory of sockets.
const socketsPrefix = "millrace"

// sockets are what must stay open while any single child is away.
type sockets struct {
	dir, note              string
	http, ledger, dispatch *supervise.Socket
}

// socketsNote is the file in the data directory that says where the sockets of its server are.
const socketsNote = "sockets"

// openSockets listens. The directory of a server that was killed before it could clean up goes first.
func openSockets(ctx context.Context, addr, dataDir string) (*sockets, error) {
	note := filepath.Join(dataDir, socketsNote)
	if old, err := os.ReadFile(note); err == nil && strings.HasPrefix(filepath.Base(string(old)), socketsPrefix+"-") {
		_ = os.RemoveAll(string(old))
	}
	dir, err := supervise.SocketDir(socketsPrefix)
	if err != nil {
		return nil, fmt.Errorf("make a directory for sockets: %w", err)
	}
	s := &sockets{dir: dir, note: note}
	if err := os.WriteFile(note, []byte(dir), 0o600); err != nil {
		s.Close()
		return nil, configError("--data-dir %s cannot be written to: %v", dataDir, err)
	}
	if s.http, err = supervise.Listen(ctx, "tcp", addr); err != nil {
		s.Close()
		return nil, listenError(addr, err)
	}
	if s.ledger, err = supervise.Listen(ctx, "unix", filepath.Join(dir, ledgerSocket)); err == nil {
		s.dispatch, err = supervise.Listen(ctx, "unix", filepath.Join(dir, dispatchSocket))
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Close closes what is open and removes the directory.
func (s *sockets) Close() {
	for _, open := range []*supervise.Socket{s.http, s.ledger, s.dispatch} {
		if open != nil {
			_ = open.Close()
		}
	}
	_ = os.RemoveAll(s.dir)
	_ = os.Remove(s.note)
}

func (s *sockets) url() string { return "http://" + s.http.Addr().String() }

func listenError(addr string, err error) error {
	return configError("cannot listen on %s (%v); is another server running? choose another with --addr", addr, err)
}

// welcome prints the ready line that scripts wait for, and what a person does next.
func welcome(w io.Writer, url string, c Config) {
	ledger := "SQLite in " + c.DataDir
	if c.Database != "" {
		ledger = "PostgreSQL"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "ready %s  (%s, %d worker processes)\n", url, ledger, c.Workers)
	fmt.Fprintf(&b, "  web app    %s/\n", url)
	fmt.Fprintf(&b, "  API        %s/docs   dashboard %s/dashboard\n", url, url)
	fmt.Fprintf(&b, "  data       %s\n", c.DataDir)
	fmt.Fprintf(&b, "  workers    %d processes, each %d computing and %d waiting jobs\n", c.Workers, c.CPU, c.IO)
	auth := ""
	if c.authOn() {
		auth = ` -H "Authorization: Bearer $MILLRACE_ADMIN_KEY"`
	}
	fmt.Fprintf(&b, "try: curl%s -F type=image.resize -F 'params={\"width\":400}' -F file=@web/samples/%s '%s/v1/jobs?wait=30s'\n", auth, samplePicture, url)
	_, _ = io.WriteString(w, b.String())
}

// samplePicture is one of the samples that come with the page.
const samplePicture = "mountains.jpg"
