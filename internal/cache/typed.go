package cache

import (
	"context"
	"encoding/json"
	"fmt"
)

// Typed is a Cache of values that are kept as JSON.
type Typed[V any] struct{ *Cache }

// Get is Cache.Get for a V; nil, from load and to the caller, says that there is none. Each caller gets a value of its own.
func (t Typed[V]) Get(ctx context.Context, key string, load func(context.Context) (*V, error)) (*V, error) {
	doc, err := t.Cache.Get(ctx, key, func(ctx context.Context) ([]byte, error) {
		v, err := load(ctx)
		if v == nil || err != nil {
			return nil, err
		}
		doc, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("encode a value for the cache %s: %w", t.Name, err)
		}
		return doc, nil
	})
	if len(doc) == 0 || err != nil {
		return nil, err
	}
	v := new(V)
	if json.Unmarshal(doc, v) != nil {
		return load(ctx) // of a release that writes them differently
	}
	return v, nil
}
