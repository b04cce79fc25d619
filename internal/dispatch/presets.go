package dispatch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/tasks"
)

// Limits of presets.
const (
	MaxPresets    = 1000 // of one tenant
	MaxPresetName = 64   // characters
)

// Presets is the cache in front of the ledger's presets.
type Presets interface {
	Get(ctx context.Context, key string, load func(context.Context) (*millrace.Preset, error)) (*millrace.Preset, error)
	Change(ctx context.Context, key string, write func(context.Context) error) error
}

// uncached reads the ledger each time.
type uncached struct{}

func (uncached) Get(ctx context.Context, _ string, load func(context.Context) (*millrace.Preset, error)) (*millrace.Preset, error) {
	return load(ctx)
}

func (uncached) Change(ctx context.Context, _ string, write func(context.Context) error) error {
	return write(ctx)
}

// ValidPresetName says whether a preset can have this name.
func ValidPresetName(name string) bool {
	for _, r := range []byte(name) {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.' {
			return false
		}
	}
	return name != "" && len(name) <= MaxPresetName
}

// presetKey is the name in the cache. A preset's name has no slash, so no two tenants share a key.
func presetKey(tenant, name string) string { return tenant + "/" + name }

// findPreset finds a preset by name; nil where there is none.
type findPreset func(ctx context.Context, tenant, name string) (*millrace.Preset, error)

// preset finds a preset through the cache.
func (d *Dispatcher) preset(ctx context.Context, tenant, name string) (*millrace.Preset, error) {
	p, err := d.Presets.Get(ctx, presetKey(tenant, name), func(ctx context.Context) (*millrace.Preset, error) {
		p, err := d.Ledger.Preset(ctx, tenant, name)
		if errors.Is(err, store.ErrNotFound) {
			return nil, nil
		}
		return &p, err
	})
	if err != nil {
		return nil, millrace.Wrap(millrace.Unavailable, err, "the ledger is out of reach; nothing was accepted")
	}
	return p, nil
}

// resolve puts the preset that params name under them: its fields count where they say nothing, a field that is null takes the preset's away, and
// lists and objects are replaced whole. What comes out names no preset, so that the job is the same whatever becomes of it.
func resolve(ctx context.Context, t tasks.Type, spec Spec, find findPreset) (json.RawMessage, error) {
	if !bytes.Contains(spec.Params, []byte(`"preset"`)) && !bytes.Contains(spec.Params, []byte(`\u`)) {
		return spec.Params, nil
	}
	var own map[string]json.RawMessage
	if json.Unmarshal(spec.Params, &own) != nil {
		return spec.Params, nil // the type says what is wrong
	}
	named, ok := own["preset"]
	if !ok {
		return spec.Params, nil
	}
	if delete(own, "preset"); string(named) == "null" {
		return json.Marshal(own)
	}
	var name string
	if json.Unmarshal(named, &name) != nil || !ValidPresetName(name) {
		return nil, millrace.InvalidField("/params/preset", "must be the name of a preset, which has 1 to %d of A-Z a-z 0-9 . _ -", MaxPresetName)
	}
	p, err := find(ctx, spec.Tenant, name)
	switch {
	case err != nil:
		return nil, err
	case p == nil:
		return nil, millrace.InvalidField("/params/preset", "names no preset: there is no %q; GET /v1/presets lists them, PUT /v1/presets/%s makes it", name, name)
	case p.Type != t.Name:
		return nil, millrace.InvalidField("/params/preset", "names a preset of %s, and this job is of %s; take a preset of its own type", p.Type, t.Name)
	}
	return under(own, p)
}

// under lays a job's own params over a preset's.
func under(own map[string]json.RawMessage, p *millrace.Preset) (json.RawMessage, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(p.Params, &all); err != nil {
		return nil, fmt.Errorf("params of preset %s: %w", p.Name, err)
	}
	for field, value := range own {
		if _, there := all[field]; there && string(value) == "null" {
			delete(all, field)
		} else {
			all[field] = value
		}
	}
	return json.Marshal(all)
}

// PutPreset checks a preset and creates it, or replaces the one of its name. All processes take it from then on. Refusals are millrace.Errors: Invalid
// with pointers, Changed where match does not hold, Conflict where the tenant has as many as it may. match may be nil.
func (d *Dispatcher) PutPreset(ctx context.Context, p millrace.Preset, match *store.PresetMatch) (stored millrace.Preset, created bool, err error) {
	if err := d.checkPreset(p); err != nil {
		return stored, false, err
	}
	if err := d.presetRoom(ctx, p.Tenant, p.Name); err != nil {
		return stored, false, err
	}
	err = d.Presets.Change(ctx, presetKey(p.Tenant, p.Name), func(ctx context.Context) (err error) {
		stored, created, err = d.Ledger.PutPreset(ctx, p, match)
		return err
	})
	return stored, created, changedError(err)
}

// DeletePreset removes a preset. Jobs keep what they took from it; what names it from now on is refused.
func (d *Dispatcher) DeletePreset(ctx context.Context, tenant, name string, match *store.PresetMatch) error {
	return changedError(d.Presets.Change(ctx, presetKey(tenant, name), func(ctx context.Context) error {
		return d.Ledger.DeletePreset(ctx, tenant, name, match)
	}))
}

func changedError(err error) error {
	if errors.Is(err, store.ErrState) {
		return millrace.Wrap(millrace.Changed, err, "the preset is not as If-Match or If-None-Match has it; read it again")
	}
	return err
}

// checkPreset says what is wrong in a preset. Its params must be right by themselves.
func (d *Dispatcher) checkPreset(p millrace.Preset) error {
	t, err := d.taskType(p.Type)
	if err != nil {
		return err
	}
	var given map[string]json.RawMessage
	if json.Unmarshal(p.Params, &given) != nil || given == nil {
		return millrace.InvalidField("/params", "must be a JSON object")
	}
	if _, ok := given["preset"]; ok {
		return millrace.InvalidField("/params/preset", "cannot stand in a preset; name its params themselves")
	}
	if !storable(p.Params) {
		return millrace.InvalidField("/params", "must be UTF-8 text without NUL")
	}
	_, err = t.Decode(p.Params)
	return err
}

// presetRoom refuses one preset too many. Requests that race may pass the bound by their number.
func (d *Dispatcher) presetRoom(ctx context.Context, tenant, name string) error {
	if _, err := d.Ledger.Preset(ctx, tenant, name); err == nil || !errors.Is(err, store.ErrNotFound) {
		return err
	}
	all, err := d.Ledger.ListPresets(ctx, tenant, "", MaxPresets)
	if err != nil {
		return err
	}
	if len(all) >= MaxPresets {
		return millrace.Errorf(millrace.Conflict, "there are %d presets, which is the most; delete one first", MaxPresets)
	}
	return nil
}
