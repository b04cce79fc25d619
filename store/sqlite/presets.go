package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

// presetColumns are those of millrace.Preset, in the order of scanPreset.
const presetColumns = `tenant, name, type, params, version, created_at, updated_at`

func scanPreset(row scanner) (millrace.Preset, error) {
	var p millrace.Preset
	var params string
	var created, updated int64
	if err := row.Scan(&p.Tenant, &p.Name, &p.Type, &params, &p.Version, &created, &updated); err != nil {
		return millrace.Preset{}, err
	}
	p.Params, p.CreatedAt, p.UpdatedAt = raw(text(params)), instant(created), instant(updated)
	return p, nil
}

const (
	putPresetSQL = `INSERT INTO presets (` + presetColumns + `) VALUES (?1, ?2, ?3, ?4, 1, ?5, ?5)
	ON CONFLICT (tenant, name) DO UPDATE SET type = excluded.type, params = excluded.params,
		version = version + (type <> excluded.type OR params <> excluded.params),
		updated_at = CASE WHEN type = excluded.type AND params = excluded.params THEN updated_at ELSE excluded.updated_at END
	RETURNING ` + presetColumns

	// matchedPreset is true of a preset that is as a match has it: ?3 is its version, 0 for any, ?4 when it was created.
	matchedPreset = `SELECT EXISTS (SELECT 1 FROM presets WHERE tenant = ?1 AND name = ?2 AND (?3 = 0 OR version = ?3 AND created_at = ?4))`
)

// matchPreset says whether a preset exists, and ErrState where it is not as match has it.
func (t *tx) matchPreset(tenant, name string, match *store.PresetMatch) (exists bool, err error) {
	var want store.PresetMatch
	if match != nil {
		want = *match
	}
	if err := t.row(matchedPreset, tenant, name, want.Version, want.CreatedAt.UnixMilli()).Scan(&exists); err != nil {
		return false, err
	}
	if match != nil && exists == match.Absent {
		return exists, fmt.Errorf("preset: %w", store.ErrState)
	}
	return exists, nil
}

// PutPreset implements store.Presets.
func (l *Ledger) PutPreset(ctx context.Context, p millrace.Preset, match *store.PresetMatch) (stored millrace.Preset, created bool, err error) {
	params := cmp.Or(string(p.Params), "{}")
	var put millrace.Preset
	var there bool
	err = l.write(ctx, func(t *tx) (err error) {
		if there, err = t.matchPreset(p.Tenant, p.Name, match); err != nil {
			return err
		}
		put, err = scanPreset(t.row(putPresetSQL, p.Tenant, p.Name, p.Type, params, t.now))
		return err
	})
	if err != nil {
		return millrace.Preset{}, false, fmt.Errorf("put preset: %w", err)
	}
	return put, !there, nil
}

const presetSQL = `SELECT ` + presetColumns + ` FROM presets WHERE tenant = ? AND name = ?`

// Preset implements store.Presets.
func (l *Ledger) Preset(ctx context.Context, tenant, name string) (millrace.Preset, error) {
	p, err := scanPreset(l.reads.QueryRowContext(ctx, presetSQL, tenant, name))
	if errors.Is(err, sql.ErrNoRows) {
		return p, fmt.Errorf("preset: %w", store.ErrNotFound)
	}
	if err != nil {
		return p, fmt.Errorf("read preset: %w", err)
	}
	return p, nil
}

const presetsSQL = `SELECT ` + presetColumns + ` FROM presets WHERE tenant = ? AND name > ? ORDER BY name LIMIT ?`

// ListPresets implements store.Presets.
func (l *Ledger) ListPresets(ctx context.Context, tenant, after string, limit int) ([]millrace.Preset, error) {
	var all []millrace.Preset
	err := each(func(row scanner) error {
		p, err := scanPreset(row)
		all = append(all, p)
		return err
	})(l.reads.QueryContext(ctx, presetsSQL, tenant, after, limit))
	if err != nil {
		return nil, fmt.Errorf("list presets: %w", err)
	}
	return all, nil
}

// DeletePreset implements store.Presets.
func (l *Ledger) DeletePreset(ctx context.Context, tenant, name string, match *store.PresetMatch) error {
	return l.write(ctx, func(t *tx) error {
		if _, err := t.matchPreset(tenant, name, match); err != nil {
			return err
		}
		n, err := t.exec(`DELETE FROM presets WHERE tenant = ? AND name = ?`, tenant, name)
		if err == nil && n == 0 {
			err = fmt.Errorf("preset: %w", store.ErrNotFound)
		}
		return err
	})
}
