package boot

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/backup"
	"github.com/millrace/millrace/internal/supervise"
)

// lockWait is how long serve waits for a server that is just ending.
const lockWait = 5 * time.Second

// healthy is how long a child must have lived for its death to be no start of a loop: then it is back after a tenth of a second, because the jobs
// of a killed process wait for it. A child that dies sooner, as by a job that kills it, is started less and less often.
const healthy = 250 * time.Millisecond

// serve is the supervisor of an embedded server: it owns the sockets, the lock and the processes, and does nothing that it could crash on.
func (p *process) serve(ctx context.Context) error {
	dir, err := filepath.Abs(p.config.DataDir)
	if err != nil {
		return configError("%s: %v", p.config.names["data-dir"], err)
	}
	if err := p.tryFirst(ctx, dir); err != nil {
		return err
	}
	lock, err := p.lock(ctx, dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	p.clear(ctx)
	sockets, err := p.openSockets(ctx, dir)
	if err != nil {
		return err
	}
	defer sockets.Close()

	told, word, done, err := p.mourner(ctx)
	if err != nil {
		return err
	}
	defer done()
	env := []string{nonceVariable + "=" + rand.Text(), redisVariable + "=" + rand.Text(), socketsVariable + "=" + sockets.dir}
	files := map[string]*os.File{lockFile: lock.File()}
	coreFiles := map[string]*os.File{lockFile: lock.File(), httpSocket: sockets.http.File(), ledgerSocket: sockets.ledger.File(),
		dispatchSocket: sockets.dispatch.File()}
	if word != nil {
		coreFiles[wordPipe] = word
	}
	core := supervise.Child{Name: childCore, Command: command(childCore, env...), Files: coreFiles, MaxDelay: time.Second,
		OnStop: func() { _ = sockets.http.Close() }}
	return supervised(supervise.Run(ctx, supervise.Config{
		Children: append([]supervise.Child{core}, workerChildren(p.config.Workers, files, env, told)...),
		Grace:    max(p.config.Grace, p.config.DrainDelay+apiGrace),
		Healthy:  healthy,
		OnReady:  func() { welcome(os.Stdout, sockets.url(), p.config) },
		Kill:     p.signals.Kill, Roll: p.signals.Roll, Log: p.log,
	}))
}

// mourner is who is told when a worker has ended: with a PostgreSQL of their own the ledger itself, else core, which reads from word.
func (p *process) mourner(ctx context.Context) (told mourner, word *os.File, done func(), err error) {
	if p.config.Database == "" {
		read, write, err := os.Pipe()
		if err != nil {
			return nil, nil, nil, err
		}
		return &sender{log: p.log, to: write}, read, func() { _, _ = read.Close(), write.Close() }, nil
	}
	s := &stores{}
	if err := s.openPostgres(ctx, p.config, p.log, supervisorConns); err != nil {
		return nil, nil, nil, err
	}
	dead := newBurials(s.ledger, p.log)
	dead.bury(supervise.Exit{}) // those of a run before this one
	return dead, nil, func() { _ = s.Close() }, nil
}

// tryFirst tries what can be wrong before a data directory is made for nothing. One that is there already may belong to a server that is just
// ending, with the address: then the lock is waited for first.
func (p *process) tryFirst(ctx context.Context, dir string) error {
	if p.config.BlobURL != "" {
		if _, err := openDisk(p.config); err != nil {
			return err
		}
	}
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", p.config.Addr)
	if err != nil {
		return listenError(p.config, err)
	}
	return l.Close()
}

// lock makes the data directory where it is missing and takes it.
func (p *process) lock(ctx context.Context, dir string) (*supervise.DirLock, error) {
	name := p.config.names["data-dir"]
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, configError("%s: the directory cannot be made: %v", name, err)
	}
	lock, err := supervise.Lock(ctx, dir, lockWait)
	if h, ok := errors.AsType[*supervise.HeldError](err); ok {
		return nil, configError("%v; stop that server, or give another directory with --data-dir", h)
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, configError("%s: %v; give a directory that this user may write to", name, err)
	}
	return lock, err
}

// clear removes what the run before left half-written, before the ledger is opened: after a crash on a full disk it may be what fills it. Whoever
// has the lock knows that nobody writes there any more, unless the files are in a place of their own, which others may share.
func (p *process) clear(ctx context.Context) {
	if err := backup.Sweep(p.config.DataDir); err != nil {
		p.log.Warn("cannot remove the copy of the ledger of a backup that was broken off", "error", err)
	}
	if p.config.BlobURL != "" {
		return
	}
	blobs, err := openDisk(p.config)
	if err == nil {
		_, err = blobs.Sweep(ctx, time.Now().AddDate(100, 0, 0)) // whatever the clock was then
	}
	if err != nil && ctx.Err() == nil && !isUsage(err) { // that one is for core to tell
		p.log.Warn("cannot remove what the run before left half-written", "error", err)
	}
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
