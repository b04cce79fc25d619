package supervise

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// sameWish is how soon after the first signal another is the same wish: timeout(1) and some init systems signal the process and its group too.
const sameWish = 300 * time.Millisecond

// ErrStopped is the cause of a context that a signal ended.
var ErrStopped = errors.New("stopped by a signal")

// Signals is what people and supervisors ask of this process.
type Signals struct {
	Kill <-chan struct{} // closed by the second SIGTERM or SIGINT: end at once
	Roll <-chan struct{} // one value for SIGHUP; those that come while one waits are the same wish
}

// Notify turns signals into events: the first SIGTERM or SIGINT ends the context with the cause ErrStopped. release gives the signals back
// to the runtime; it must be called.
//
// A SIGHUP because the terminal is gone means stop and not roll: whoever started the program there can no longer see it.
func Notify(ctx context.Context) (_ context.Context, s Signals, release func()) {
	ctx, stop := context.WithCancelCause(ctx)
	kill, roll := make(chan struct{}), make(chan struct{}, 1)
	signals := make(chan os.Signal, 8) // enough for impatience; signal.Notify drops what does not fit
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	hadTerminal := hasTerminal()
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		stops, first := 0, time.Time{}
		for {
			select {
			case <-done:
				return
			case sig := <-signals:
				if sig == syscall.SIGHUP && !(hadTerminal && !hasTerminal()) {
					select {
					case roll <- struct{}{}:
					default:
					}
					continue
				}
				if stops > 0 && time.Since(first) < sameWish {
					continue
				}
				if stops++; stops == 1 {
					first = time.Now()
				}
				if stops == 2 {
					close(kill)
				}
				stop(ErrStopped)
			}
		}
	}()
	return ctx, Signals{Kill: kill, Roll: roll}, func() {
		signal.Stop(signals)
		close(done)
		<-ended
		stop(nil)
	}
}
