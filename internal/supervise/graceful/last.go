package graceful

import (
	"errors"
	"net"
	"sync/atomic"
	"time"
)

// lastAcceptFor bounds the accepting of what waits, should clients connect faster than this process accepts.
const lastAcceptFor = time.Second

// errEmpty says that no connection waits.
var errEmpty = errors.New("no connection waits")

// lastAccept is a listener that, before it closes, accepts every connection that waits in its backlog. Closing alone would reset them, although their
// clients have been told that they are connected and may have sent a request.
type lastAccept struct {
	net.Listener
	until atomic.Pointer[time.Time] // set when it is to end
}

// end lets Accept return what waits, and then that the listener is closed.
func (l *lastAccept) end() {
	until := time.Now().Add(lastAcceptFor)
	l.until.Store(&until)
	if d, ok := l.Listener.(interface{ SetDeadline(time.Time) error }); ok && d.SetDeadline(time.Unix(1, 0)) == nil {
		return // Accept is awake
	}
	l.Listener.Close()
}

func (l *lastAccept) Accept() (net.Conn, error) {
	if l.until.Load() == nil {
		c, err := l.Listener.Accept()
		if err == nil || l.until.Load() == nil {
			return c, err
		}
	}
	if time.Now().Before(*l.until.Load()) {
		if c, err := acceptWaiting(l.Listener); err == nil {
			return c, nil
		}
	}
	l.Listener.Close()
	return nil, net.ErrClosed
}
