package scheduler

import (
	"context"
	"sync"
)

// Gate keeps bytes from being removed for a while, as when somebody copies the ledger and then what it refers to. It works within one process; the
// zero value is open.
type Gate struct {
	mu sync.RWMutex // held for reading by those who need the bytes, for writing by each removal
}

// Hold returns once nothing is being removed, and keeps it so until release is called.
func (g *Gate) Hold(ctx context.Context) (release func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	g.mu.RLock() // a removal takes milliseconds
	return sync.OnceFunc(g.mu.RUnlock), nil
}

// remove calls f unless the gate is held, and says whether it did.
func (g *Gate) remove(f func() error) (open bool, err error) {
	if !g.mu.TryLock() {
		return false, nil
	}
	defer g.mu.Unlock()
	return true, f()
}
