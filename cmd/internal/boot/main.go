package boot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/internal/queue"
	"github.com/millrace/millrace/internal/supervise"
	"github.com/millrace/millrace/store"
)

// version is set by the build with -ldflags -X; a plain go build is "dev".
var version = "dev"

// Version is what --version prints.
func Version() string {
	return fmt.Sprintf("%s %s/%s %s", version, runtime.GOOS, runtime.GOARCH, runtime.Version())
}

// Main runs a role by itself and returns the exit code.
func Main(role Role, args []string) int {
	cmd := Command(role)
	cmd.SetArgs(args)
	return Execute(cmd)
}

// Execute runs a command and turns what it returns into an exit code: 0 done, 1 failed, 2 used or configured wrongly. Errors are one line on stderr.
func Execute(cmd *cobra.Command) int {
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	err := cmd.Execute()
	if err == nil {
		return 0
	}
	code := ExitCode(err)
	if !errors.Is(err, errSaid) {
		fmt.Fprintf(os.Stderr, "%s: %v\n", cmd.Root().Name(), err)
	}
	return code
}

// errSaid marks an error that a child has put into words on the shared stderr already.
var errSaid = errors.New("said")

// ExitCode is the code for an error of a command.
func ExitCode(err error) int {
	var coded interface{ ExitCode() int }
	switch {
	case errors.As(err, &coded):
		return coded.ExitCode()
	case isUsage(err):
		return supervise.CodeConfig
	}
	return 1
}

// isUsage says whether the person who started the process has to change something before it can work. Errors that cobra makes have no type, so
// the commands wrap theirs and whatever comes from flag parsing reaches here through SetFlagErrorFunc and Args.
func isUsage(err error) bool {
	_, config := errors.AsType[*ConfigError](err)
	return config || errors.Is(err, store.ErrNewerSchema) || errors.Is(err, store.ErrOtherBlobStore)
}

// Command is the command of a role with its flags.
func Command(role Role) *cobra.Command {
	var c Config
	cmd := &cobra.Command{
		Use:     string(role) + " [flags]",
		Short:   summary(role),
		Version: Version(),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return configError("unknown argument %q; see --help", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.environment(cmd.Flags(), os.Getenv); err != nil {
				return err
			}
			log, err := c.logger(os.Stderr)
			if err != nil {
				return err
			}
			queue.LogRedis(log)
			if err := c.validate(role, os.Getenv); err != nil {
				return err
			}
			return run(cmd.Context(), role, c, log)
		},
	}
	cmd.SetVersionTemplate(string(role) + " {{.Version}}\n")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return FlagError(err) })
	cmd.SetUsageTemplate(cmd.UsageTemplate() + environmentHelp(role))
	cmd.CompletionOptions.DisableDefaultCmd = true
	c.flags(cmd.Flags(), role)
	return cmd
}

func summary(role Role) string {
	switch role {
	case Serve:
		return "Everything on one machine: API, page, scheduler, one worker process per core"
	case API:
		return "The REST API and the page, on Redis and PostgreSQL"
	case Workers:
		return "Worker processes, one per core, on Redis and PostgreSQL"
	}
	return "Rescue, refill and expiry, on Redis and PostgreSQL; any number may stand by"
}

// run is a role in the foreground, or one of its children when a supervisor started this process.
func run(ctx context.Context, role Role, c Config, log *slog.Logger) error {
	if ctx == nil {
		ctx = context.Background()
	}
	inherited, err := supervise.Inherit()
	if err != nil {
		return err
	}
	ctx, signals, release := supervise.Notify(ctx)
	defer release()
	p := &process{role: role, config: c, log: log, inherited: inherited, signals: signals}
	if inherited.Supervised() {
		return p.child(ctx)
	}
	slog.SetDefault(log) // for libraries that have no logger of their own to set
	if err := p.config.findImages(ctx, role, log); err != nil {
		return err
	}
	return asked(ctx, p.start(ctx))
}

// asked forgives an error that is only the end of ctx: the process was told to end before it had begun.
func asked(ctx context.Context, err error) error {
	if ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, supervise.ErrStopped)) {
		return nil
	}
	return err
}

// process is what this operating system process was started with.
type process struct {
	role      Role
	config    Config
	log       *slog.Logger
	inherited *supervise.Inherited
	signals   supervise.Signals
}

// orphanPatience is how long a child without a supervisor may hold on: less than the next serve waits for the data directory.
const orphanPatience = 3 * time.Second

// start runs the role in the foreground.
func (p *process) start(ctx context.Context) error {
	switch p.role {
	case Serve:
		return p.serve(ctx)
	case API:
		return p.superviseAPI(ctx)
	case Workers:
		return p.superviseWorkers(ctx)
	}
	defer p.endAtOnce()()
	return p.scheduler(ctx)
}

// child runs the part that the supervisor asked for.
func (p *process) child(ctx context.Context) error {
	ctx, cancel := p.inherited.Lifeline(ctx, orphanPatience)
	defer cancel()
	part := os.Getenv(childVariable)
	p.log = p.log.With("process", part)
	slog.SetDefault(p.log)
	defer p.endAtOnce()()
	return asked(ctx, p.part(ctx, part))
}

func (p *process) part(ctx context.Context, part string) error {
	switch part {
	case childCore:
		return p.core(ctx)
	case childAPI:
		return p.api(ctx)
	case childWorker:
		return p.saidByCore(ctx, p.worker(ctx, false))
	case childQuarantine:
		return p.worker(ctx, true)
	}
	return configError("%s=%q: unknown part", childVariable, part)
}

// endAtOnce ends the process at the second signal, until it is released. It is not for supervisors: their children have to go first.
func (p *process) endAtOnce() (release func()) {
	done := make(chan struct{})
	go func() {
		select {
		case <-p.signals.Kill:
			os.Exit(1)
		case <-done:
		}
	}()
	return func() { close(done) }
}

// saidByCore leaves it to core, which starts at the same time with the same settings, to say what is wrong with them: one line is enough.
func (p *process) saidByCore(ctx context.Context, err error) error {
	if p.role != Serve || !isUsage(err) {
		return err
	}
	select {
	case <-ctx.Done():
		return errSaid
	case <-time.After(5 * time.Second):
		return err
	}
}
