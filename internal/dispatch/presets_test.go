package dispatch_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/cache"
	"github.com/millrace/millrace/internal/dispatch"
	"github.com/millrace/millrace/internal/testrig"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/tasks"
)

type paintParams struct {
	Color  string   `json:"color" jsonschema_description:"Of the paint."`
	Coats  int      `json:"coats" jsonschema:"minimum=1" jsonschema_description:"How often."`
	Rooms  []string `json:"rooms,omitempty" jsonschema_description:"Where."`
	Border *struct {
		Width int    `json:"width"`
		Color string `json:"color,omitempty"`
	} `json:"border,omitempty" jsonschema_description:"Around it."`
}

func paintTypes(t *testing.T) tasks.List {
	t.Helper()
	bind := func(name string) tasks.Type {
		return tasks.Bind(tasks.Declaration[paintParams]{Name: name, Title: "Paint", Version: "1", Pool: millrace.IO, Pure: true,
			Defaults: paintParams{Color: "white", Coats: 1}},
			func(context.Context, *tasks.Call, paintParams) (any, error) { return nil, nil })
	}
	types, err := tasks.NewList(bind("test.paint"), bind("test.print"))
	if err != nil {
		t.Fatal(err)
	}
	return types
}

// deafLedger loses the presets while it is deaf, and counts who asks for them.
type deafLedger struct {
	store.Ledger
	deaf  atomic.Bool
	reads atomic.Int64
}

func (l *deafLedger) Preset(ctx context.Context, tenant, name string) (millrace.Preset, error) {
	l.reads.Add(1)
	if l.deaf.Load() {
		return millrace.Preset{}, errors.New("driver: connection refused")
	}
	return l.Ledger.Preset(ctx, tenant, name)
}

type painter struct {
	*testrig.Rig
	*dispatch.Dispatcher
	t      *testing.T
	ledger *deafLedger
	file   string
}

// newPainter is a dispatcher of types with params. cached: presets come through the cache.
func newPainter(t *testing.T, cached bool) *painter {
	t.Helper()
	rig := testrig.New(t)
	p := &painter{Rig: rig, t: t, ledger: &deafLedger{Ledger: rig.Ledger}, file: rig.File("a", []byte("a")).ID}
	config := dispatch.Config{Ledger: p.ledger, Queue: rig.Queue, Signals: silence{}, Types: paintTypes(t), Log: rig.Log, Committers: 1,
		Results: cache.New(cache.Config{Redis: rig.Redis, Name: "results", Log: rig.Log})}
	if cached {
		presets := cache.New(cache.Config{Redis: rig.Redis, Name: "presets", Log: rig.Log})
		rig.Go(presets.Run)
		config.Presets = cache.Typed[millrace.Preset]{Cache: presets}
	}
	p.Dispatcher = dispatch.New(config)
	rig.Go(p.Run)
	return p
}

func (p *painter) put(name, params string) millrace.Preset {
	p.t.Helper()
	stored, _, err := p.PutPreset(p.t.Context(), millrace.Preset{Tenant: millrace.DefaultTenant, Name: name, Type: "test.paint", Params: json.RawMessage(params)}, nil)
	if err != nil {
		p.t.Fatalf("PutPreset(%s, %s): %v", name, params, err)
	}
	return stored
}

func (p *painter) spec(params string) dispatch.Spec {
	return dispatch.Spec{Tenant: millrace.DefaultTenant, Type: "test.paint", Inputs: []millrace.Input{{File: p.file}}, Params: json.RawMessage(params)}
}

// submit answers the params of the job that came of it, as the ledger has them.
func (p *painter) submit(params string) string {
	p.t.Helper()
	job, err := p.Submit(p.t.Context(), p.spec(params))
	if err != nil {
		p.t.Fatalf("Submit(%s): %v", params, err)
	}
	return string(p.Job(job.ID).Params)
}

func TestAPresetLiesUnderTheParams(t *testing.T) {
	t.Parallel()
	p := newPainter(t, true)
	p.put("red", `{"color":"red","rooms":["hall","attic"],"border":{"width":3,"color":"black"}}`)
	for params, want := range map[string]string{
		`{"preset":"red"}`:                            `{"color":"red","coats":1,"rooms":["hall","attic"],"border":{"width":3,"color":"black"}}`,
		`{"preset":"red","coats":2}`:                  `{"color":"red","coats":2,"rooms":["hall","attic"],"border":{"width":3,"color":"black"}}`,
		`{"color":"blue","preset":"red"}`:             `{"color":"blue","coats":1,"rooms":["hall","attic"],"border":{"width":3,"color":"black"}}`,
		`{"preset":"red","rooms":["bath"]}`:           `{"color":"red","coats":1,"rooms":["bath"],"border":{"width":3,"color":"black"}}`,
		`{"preset":"red","border":{"width":1}}`:       `{"color":"red","coats":1,"rooms":["hall","attic"],"border":{"width":1}}`,
		`{"preset":"red","color":null,"border":null}`: `{"color":"white","coats":1,"rooms":["hall","attic"]}`,
		`{"preset":null,"coats":2}`:                   `{"color":"white","coats":2}`,
		`{"\u0070reset":"red","rooms":[]}`:            `{"color":"red","coats":1,"border":{"width":3,"color":"black"}}`,
		`{"color":"preset"}`:                          `{"color":"preset","coats":1}`,
		`{"color":"\u00fc"}`:                          `{"color":"ü","coats":1}`,
		``:                                            `{"color":"white","coats":1}`,
	} {
		if got := p.submit(params); got != want {
			t.Errorf("%s became %s, want %s", params, got, want)
		}
	}
}

// A job is what it was taken in as, and equal work is found in the cache however it was asked for.
func TestAJobStaysAsItsPresetWas(t *testing.T) {
	t.Parallel()
	p := newPainter(t, true)
	p.put("red", `{"color":"red"}`)
	first, err := p.Submit(t.Context(), p.spec(`{"preset":"red"}`))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := p.Submit(t.Context(), p.spec(`{"color":"red"}`))
	if err != nil || plain.CacheKey != first.CacheKey {
		t.Errorf("the same without a preset: key %s, %v, want %s", plain.CacheKey, err, first.CacheKey)
	}
	if stored := p.put("red", `{"color":"crimson"}`); stored.Version != 2 {
		t.Errorf("version = %d, want 2", stored.Version)
	}
	if got := p.submit(`{"preset":"red"}`); got != `{"color":"crimson","coats":1}` {
		t.Errorf("after the change: %s", got)
	}
	row, err := p.Prepare(t.Context(), p.spec(`{"preset":"red"}`))
	if err != nil || string(row.Params) != `{"color":"crimson","coats":1}` {
		t.Errorf("Prepare after the change = %s, %v", row.Params, err)
	}
	if got := string(p.Job(first.ID).Params); got != `{"color":"red","coats":1}` {
		t.Errorf("the first job changed to %s", got)
	}
	if err := p.DeletePreset(t.Context(), millrace.DefaultTenant, "red", nil); err != nil {
		t.Fatal(err)
	}
	wantPointer(t, p.Check(t.Context(), p.spec(`{"preset":"red"}`)), millrace.Invalid, "/params/preset", "PUT /v1/presets/red")
}

func wantPointer(t *testing.T, err error, kind millrace.Kind, pointer, words string) {
	t.Helper()
	e, ok := errors.AsType[*millrace.Error](err)
	if !ok || e.Kind != kind || len(e.Fields) == 0 || e.Fields[0].Pointer != pointer || !strings.Contains(e.Detail, words) {
		t.Errorf("refused with %v, want %s and %q", err, pointer, words)
	}
}

func TestPresetRefusals(t *testing.T) {
	t.Parallel()
	p := newPainter(t, true)
	p.put("red", `{"color":"red"}`)
	for _, tt := range []struct{ params, pointer, words string }{
		{`{"preset":"blue"}`, "/params/preset", `there is no "blue"`},
		{`{"preset":""}`, "/params/preset", "1 to 64"},
		{`{"preset":"a/b"}`, "/params/preset", "1 to 64"},
		{`{"preset":7}`, "/params/preset", "1 to 64"},
		{`{"preset":["red"]}`, "/params/preset", "1 to 64"},
		{`{"preset":"red","coats":0}`, "/params/coats", "at least 1"},
		{`{"preset":"red","coat":1}`, "/params/coat", "not a parameter"},
		{`{"preset":"red","coats":null}`, "/params/coats", "integer"},
		{`{"Preset":"red"}`, "/params/Preset", "not a parameter"},
		{`["preset"]`, "/params", "object"},
	} {
		wantPointer(t, p.Check(t.Context(), p.spec(tt.params)), millrace.Invalid, tt.pointer, tt.words)
	}
	other := p.spec(`{"preset":"red"}`)
	other.Type = "test.print"
	wantPointer(t, p.Check(t.Context(), other), millrace.Invalid, "/params/preset", "a preset of test.paint")
	foreign := p.spec(`{"preset":"red"}`)
	foreign.Tenant = "somebody"
	wantPointer(t, p.Check(t.Context(), foreign), millrace.Invalid, "/params/preset", "there is no")
	p.ledger.deaf.Store(true)
	if err := p.Check(t.Context(), p.spec(`{"preset":"unread"}`)); millrace.KindOf(err) != millrace.Unavailable {
		t.Errorf("with the ledger away: %v, want Unavailable", err)
	}
	if err := p.Check(t.Context(), p.spec(`{"preset":"red"}`)); err != nil {
		t.Errorf("a preset that the cache has, with the ledger away: %v", err)
	}
}

func TestPutPresetRefusals(t *testing.T) {
	t.Parallel()
	p := newPainter(t, false)
	for _, tt := range []struct{ kind, params, pointer, words string }{
		{"test.paint", `{"coats":0}`, "/params/coats", "at least 1"},
		{"test.paint", `{"coat":1}`, "/params/coat", "not a parameter"},
		{"test.paint", `{"preset":"red"}`, "/params/preset", "cannot stand in a preset"},
		{"test.paint", `{"color":"a\u0000"}`, "/params", "NUL"},
		{"test.paint", `{"color":"` + strings.Repeat("x", tasks.MaxParams) + `"}`, "/params", "at most"},
		{"test.paint", `null`, "/params", "object"},
		{"test.paint", `[]`, "/params", "object"},
		{"no.such", `{}`, "/type", "GET /v1/task-types"},
		{"compute.wasm", `{}`, "/type", "not available"},
	} {
		_, _, err := p.PutPreset(t.Context(), millrace.Preset{Tenant: millrace.DefaultTenant, Name: "x", Type: tt.kind, Params: json.RawMessage(tt.params)}, nil)
		wantPointer(t, err, millrace.Invalid, tt.pointer, tt.words)
	}
	var all sync.WaitGroup
	for i := range dispatch.MaxPresets {
		all.Go(func() {
			full := millrace.Preset{Tenant: millrace.DefaultTenant, Name: fmt.Sprintf("p%04d", i), Type: "test.paint", Params: json.RawMessage(`{}`)}
			if _, _, err := p.ledger.PutPreset(t.Context(), full, nil); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	p.put("p0007", `{"coats":2}`)
	_, _, err := p.PutPreset(t.Context(), millrace.Preset{Tenant: millrace.DefaultTenant, Name: "more", Type: "test.paint", Params: json.RawMessage(`{}`)}, nil)
	if millrace.KindOf(err) != millrace.Conflict {
		t.Errorf("one preset too many: %v, want Conflict", err)
	}
}

// All jobs of a batch take the same version, and each preset is read once, whether it is there or not.
func TestPresetsOfABatch(t *testing.T) {
	t.Parallel()
	p := newPainter(t, false)
	p.put("red", `{"color":"red"}`)
	p.ledger.reads.Store(0)
	b := p.Batch(millrace.DefaultTenant, 6)
	for i := range 3 {
		b.Add(t.Context(), p.spec(`{"preset":"red"}`))
		b.Add(t.Context(), p.spec(`{"preset":"none"}`))
		if i == 0 {
			p.put("red", fmt.Sprintf(`{"color":"red","coats":%d}`, i+2))
		}
	}
	if n := p.ledger.reads.Load(); n != 3 { // one of PutPreset
		t.Errorf("presets were read %d times, want each once", n-1)
	}
	items, err := b.Commit(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, item := range items {
		if i%2 == 1 {
			wantPointer(t, item.Err, millrace.Invalid, "/params/preset", "there is no")
		} else if got := string(p.Job(item.ID).Params); got != `{"color":"red","coats":1}` {
			t.Errorf("job %d = %s, want the version that the first took", i, got)
		}
	}
	p.ledger.deaf.Store(true)
	p.ledger.reads.Store(0)
	b = p.Batch(millrace.DefaultTenant, 100)
	for range 100 {
		b.Add(t.Context(), p.spec(`{"preset":"red"}`))
	}
	if _, err := b.Commit(t.Context(), nil); millrace.KindOf(err) != millrace.Unavailable || p.ledger.reads.Load() != 1 {
		t.Errorf("with the ledger away: %v after %d reads, want Unavailable after one", err, p.ledger.reads.Load())
	}
}

// A name of a few bytes must not make hundreds of megabytes of jobs.
func TestPresetsAddABoundedPartToABatch(t *testing.T) {
	t.Parallel()
	p := newPainter(t, true)
	p.put("long", `{"color":"`+strings.Repeat("x", 60_000)+`"}`)
	b := p.Batch(millrace.DefaultTenant, 400)
	for range 400 {
		b.Add(t.Context(), p.spec(`{"preset":"long"}`))
	}
	items, err := b.Commit(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	taken := 0
	for _, item := range items {
		if item.Err == nil {
			taken++
		} else if millrace.KindOf(item.Err) != millrace.TooLarge {
			t.Fatalf("refused with %v", item.Err)
		}
	}
	if want := (16 << 20) / 60_012; taken != want {
		t.Errorf("%d jobs of 60 kB were taken, want %d, which are 16 MiB", taken, want)
	}
}
