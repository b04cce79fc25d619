package raster

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// codec is a library in C, compiled to WebAssembly: what it does wrong ends in an error of its call, and the process goes on. It is translated
// for this machine at its first use, which takes about a second, and kept.
type codec struct {
	packed []byte   // the module, gzipped
	stops  []uint32 // see listen

	mu      sync.Mutex
	runtime wazero.Runtime
	module  wazero.CompiledModule
}

// compile translates the module unless that has been done. The context's end does not stop it: the next job is spared the work.
func (c *codec) compile(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.module != nil {
		return nil
	}
	z, err := gzip.NewReader(bytes.NewReader(c.packed))
	if err != nil {
		return fmt.Errorf("unpack the codec: %w", err)
	}
	code, err := io.ReadAll(z)
	if err != nil {
		return fmt.Errorf("unpack the codec: %w", err)
	}
	ctx = experimental.WithFunctionListenerFactory(context.WithoutCancel(ctx), experimental.FunctionListenerFactoryFunc(c.listen))
	runtime := wazero.NewRuntime(ctx)
	if _, err = wasi_snapshot_preview1.Instantiate(ctx, runtime); err == nil {
		c.module, err = runtime.CompileModule(ctx, code)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("compile the codec: %w", err), runtime.Close(ctx))
	}
	c.runtime = runtime
	return nil
}

// listen makes the functions called stops look at the context each time they are entered. Translated code cannot be preempted: while it runs,
// a collection of garbage, and with it the whole process, waits for it, for seconds if need be. These calls are where it waits for no longer
// than some ten milliseconds, and where a cancelled job ends. The runtime can look at every loop by itself, but that costs ten times the work.
func (c *codec) listen(f api.FunctionDefinition) experimental.FunctionListener {
	if !slices.Contains(c.stops, f.Index()) {
		return nil
	}
	return experimental.FunctionListenerFunc(func(ctx context.Context, _ api.Module, _ api.FunctionDefinition, _ []uint64, _ experimental.StackIterator) {
		if ctx.Err() != nil {
			panic(context.Cause(ctx)) // the runtime makes it the call's error
		}
	})
}

// run gives use an instance of its own, with no more than memory bytes, no files, no clock and nothing to print on.
func (c *codec) run(ctx context.Context, memory int64, use func(*instance) error) error {
	if err := c.compile(ctx); err != nil {
		return err
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	ctx = experimental.WithMemoryAllocator(ctx, experimental.MemoryAllocatorFunc(func(_, _ uint64) experimental.LinearMemory {
		return &linearMemory{limit: uint64(memory)}
	}))
	module, err := c.runtime.InstantiateModule(ctx, c.module, wazero.NewModuleConfig().WithName(""))
	if err == nil {
		err = errors.Join(use(&instance{ctx: ctx, module: module}), module.Close(context.WithoutCancel(ctx)))
	}
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	return err
}

// linearMemory is an instance's memory: room for all that it may have, of which the machine gives the pages that are touched.
type linearMemory struct {
	limit uint64
	bytes []byte
}

// Reallocate implements experimental.LinearMemory.
func (m *linearMemory) Reallocate(size uint64) []byte {
	if size > m.limit {
		return nil
	}
	if m.bytes == nil {
		m.bytes = make([]byte, m.limit)
	}
	return m.bytes[:size]
}

// Free implements experimental.LinearMemory.
func (m *linearMemory) Free() { m.bytes = nil }

// instance is a codec at work on one picture.
type instance struct {
	ctx    context.Context // of this one use
	module api.Module
}

// errNoRoom is what a codec's failed malloc becomes.
var errNoRoom = errors.New("the codec has no room")

func (i *instance) call(name string, args ...uint64) (uint64, error) {
	results, err := i.module.ExportedFunction(name).Call(i.ctx, args...)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, trapError{err})
	}
	return results[0], nil
}

// trapError says that a codec's own code gave up: with the same pixels it would again.
type trapError struct{ error }

func (e trapError) Unwrap() error { return e.error }

// put gives the codec a copy of data.
func (i *instance) put(data []byte) (uint64, error) {
	at, err := i.alloc(len(data))
	if err != nil {
		return 0, err
	}
	b, err := i.bytes(at, len(data))
	copy(b, data)
	return at, err
}

// alloc is the address of n bytes that have any value.
func (i *instance) alloc(n int) (uint64, error) {
	at, err := i.call("malloc", uint64(n))
	if err == nil && at == 0 {
		err = errNoRoom
	}
	return at, err
}

// bytes are those at an address. They stay the codec's own.
func (i *instance) bytes(at uint64, n int) ([]byte, error) {
	b, ok := i.module.Memory().Read(uint32(at), uint32(n))
	if at == 0 || !ok {
		return nil, errNoRoom
	}
	return b, nil
}
