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
	known map[string]map[string]json.RawMessage // by type, by the bytes as they came
	count int
}

// Bounds of the index: about four megabytes.
const (
	maxKnownParams = 2048
	maxKnownSize   = 1 << 10 // bytes of one
)

func (x *paramIndex) decode(t tasks.Type, raw json.RawMessage) (json.RawMessage, error) {
	x.mu.RLock()
	params, ok := x.known[t.Name][string(raw)]
	x.mu.RUnlock()
	if ok {
		return params, nil
	}
	params, err := t.Decode(raw)
	if err == nil && len(raw) <= maxKnownSize && len(params) <= maxKnownSize {
		x.remember(t.Name, string(raw), params)
	}
	return params, err
}

func (x *paramIndex) remember(name, raw string, params json.RawMessage) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.known == nil || x.count >= maxKnownParams {
		x.known, x.count = make(map[string]map[string]json.RawMessage), 0
	}
	if x.known[name] == nil {
		x.known[name] = make(map[string]json.RawMessage)
	}
	x.known[name][raw] = params
	x.count++
}
