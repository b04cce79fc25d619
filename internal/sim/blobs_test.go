package sim_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace/store/blob"
)

// bytesStore is the world's blob store, in memory. It serves the simulation only: what it promises is what the bubble needs of blob.Store.
type bytesStore struct {
	mu      sync.Mutex
	blobs   map[string]savedBlob
	serial  int
	removed map[string]bool
}

type savedBlob struct {
	data []byte
	at   time.Time
}

func newBytesStore() *bytesStore {
	return &bytesStore{blobs: map[string]savedBlob{}, removed: map[string]bool{}}
}

func (b *bytesStore) put(data []byte, at time.Time) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.serial++
	key := fmt.Sprintf("%s/%016x", sumOf(data), b.serial)
	b.blobs[key] = savedBlob{bytes.Clone(data), at}
	return key
}

func (b *bytesStore) get(key string) ([]byte, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := b.blobs[key]
	return s.data, ok
}

func (b *bytesStore) drop(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.blobs, key)
}

func (b *bytesStore) older(before time.Time) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var keys []string
	for key, s := range b.blobs {
		if s.at.Before(before) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// blobs is what one process sees of the store.
type blobs struct{ p *process }

var _ blob.Store = (*blobs)(nil)

func (b *blobs) ID(context.Context) (string, error)            { return "sim", nil }
func (b *blobs) Sweep(context.Context, time.Time) (int, error) { return 0, nil }
func (b *blobs) Free(context.Context) (int64, error)           { return -1, nil }
func (b *blobs) Create(context.Context) (blob.Writer, error)   { return &blobWriter{p: b.p}, nil }

func (b *blobs) Open(ctx context.Context, key string) (blob.Reader, error) {
	return do(b.p, ctx, "blob.open", func(context.Context) (blob.Reader, error) {
		data, ok := b.p.world.bytes.get(key)
		if !ok {
			return nil, blob.ErrNotFound
		}
		return blobReader{bytes.NewReader(data)}, nil
	})
}

func (b *blobs) Remove(ctx context.Context, key string) error {
	return act(b.p, ctx, "blob.remove", func(context.Context) error {
		b.p.world.bytes.drop(key)
		return nil
	})
}

func (b *blobs) Keys(ctx context.Context, before time.Time, yield func(string) error) error {
	keys, err := do(b.p, ctx, "blob.keys", func(context.Context) ([]string, error) { return b.p.world.bytes.older(before), nil })
	for _, key := range keys {
		if err == nil {
			err = yield(key)
		}
	}
	return err
}

type blobReader struct{ *bytes.Reader }

func (blobReader) Close() error { return nil }

type blobWriter struct {
	p    *process
	data []byte
	over bool
}

func (w *blobWriter) Write(p []byte) (int, error) {
	if w.over {
		return 0, errors.New("the blob has ended")
	}
	w.data = append(w.data, p...)
	return len(p), nil
}

func (w *blobWriter) Sum() (string, int64) { return sumOf(w.data), int64(len(w.data)) }

func (w *blobWriter) Commit(ctx context.Context) (string, error) {
	w.over = true
	return do(w.p, ctx, "blob.commit", func(context.Context) (string, error) {
		return w.p.world.bytes.put(w.data, w.p.world.now()), nil
	})
}

func (w *blobWriter) Abort() error {
	w.over = true
	return nil
}
