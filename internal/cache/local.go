package cache

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// local is the level in this process: values until their time is over, and the flights that are getting more. One lock guards both, so that a change
// finds a value either on its way or kept, and never between the two.
type local struct {
	mu      sync.Mutex
	values  *simplelru.LRU[string, kept]
	bytes   int // of all kept values with their keys
	most    int
	flights map[string]*flight
}

type kept struct {
	value []byte
	until time.Time
}

// flight is the getting of one value. Its fields are written before landed is closed and read after.
type flight struct {
	landed chan struct{}
	value  []byte
	err    error
}

func newLocal(size, most int) *local {
	l := &local{most: most, flights: make(map[string]*flight)}
	values, err := simplelru.NewLRU(size, func(key string, k kept) { l.bytes -= len(key) + len(k.value) })
	if err != nil {
		panic("cache: " + err.Error()) // a negative size
	}
	l.values = values
	return l
}

// get answers the value, or the flight that brings it. mine: it is the caller's to fly.
func (l *local) get(key string, now time.Time) (value []byte, f *flight, mine bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k, ok := l.values.Get(key); ok {
		if now.Before(k.until) {
			return k.value, nil, false
		}
		l.values.Remove(key)
	}
	if f, ok := l.flights[key]; ok {
		return nil, f, false
	}
	f = &flight{landed: make(chan struct{})}
	l.flights[key] = f
	return nil, f, true
}

// land ends a flight. A value that changed while it was on its way is answered to those who wait, who asked before the change was heard of, and is
// not kept: its flight is no longer the one of the key.
func (l *local) land(key string, f *flight, value []byte, err error, keep bool, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f.value, f.err = value, err
	close(f.landed)
	if l.flights[key] != f {
		return
	}
	delete(l.flights, key)
	if !keep {
		return
	}
	l.values.Remove(key) // Add would not tell what it replaces
	l.values.Add(key, kept{value, until})
	for l.bytes += len(key) + len(value); l.bytes > l.most; {
		l.values.RemoveOldest()
	}
}

// forget drops the value of a key, and whoever asks from now on waits for a flight of his own.
func (l *local) forget(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.values.Remove(key)
	delete(l.flights, key)
}

// purge forgets all keys.
func (l *local) purge() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.values.Purge()
	clear(l.flights)
}

func (l *local) size() (entries, bytes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.values.Len(), l.bytes
}
