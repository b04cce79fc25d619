package dispatch

import (
	"encoding/json"
	"sync"

	"github.com/millrace/millrace/tasks"
)

// paramIndex remembers what params become once their type has checked them: the same bytes come again and again, and checking them against a
// schema is most of the work of taking a job in.
type paramIndex struct {
	mu    sync.RWMutex
	known map[string]map[string]checkedParams // by type, by the bytes as they came
	count int
}

// checkedParams are canonical params, or why they were refused: a mistake comes ten thousand times in a batch as well.
type checkedParams struct {
	params json.RawMessage
	err    error
}

// Bounds of the index: a few megabytes, whatever is sent.
const (
	maxKnownParams = 1024
	maxKnownSize   = 1 << 10 // bytes of one
)

func (x *paramIndex) decode(t tasks.Type, raw json.RawMessage) (json.RawMessage, error) {
	x.mu.RLock()
	known, ok := x.known[t.Name][string(raw)]
	x.mu.RUnlock()
	if ok {
		return known.params, known.err
	}
	params, err := t.Decode(raw)
	if len(raw) <= maxKnownSize && len(params) <= maxKnownSize {
		x.remember(t.Name, string(raw), checkedParams{params, err})
	}
	return params, err
}

func (x *paramIndex) remember(name, raw string, p checkedParams) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.known == nil || x.count >= maxKnownParams {
		x.known, x.count = make(map[string]map[string]checkedParams), 0
	}
	if x.known[name] == nil {
		x.known[name] = make(map[string]checkedParams)
	}
	x.known[name][raw] = p
	x.count++
}
