package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

const presetColumns = `tenant, name, type, params, version, created_at, updated_at`

// scanPreset reads presetColumns, and what the query selects after them into more.
func scanPreset(row pgx.Row, more ...any) (p millrace.Preset, err error) {
	var params []byte
	if err := row.Scan(append([]any{&p.Tenant, &p.Name, &p.Type, &params, &p.Version, &p.CreatedAt, &p.UpdatedAt}, more...)...); err != nil {
		return millrace.Preset{}, err
	}
	p.Params, p.CreatedAt, p.UpdatedAt = params, p.CreatedAt.UTC(), p.UpdatedAt.UTC()
	return p, nil
}

// Times are cut to what a match can name. xmax is 0 in a row that was inserted.
const (
	putPresetSQL = `
INSERT INTO presets AS p (tenant, name, type, params, version, created_at, updated_at)
VALUES ($1, $2, $3, $4::json, 1, date_trunc('milliseconds', now()), date_trunc('milliseconds', now()))
ON CONFLICT (tenant, name) DO UPDATE SET type = EXCLUDED.type, params = EXCLUDED.params,
	version = p.version + CASE WHEN p.type = EXCLUDED.type AND p.params::text = EXCLUDED.params::text THEN 0 ELSE 1 END,
	updated_at = CASE WHEN p.type = EXCLUDED.type AND p.params::text = EXCLUDED.params::text THEN p.updated_at ELSE EXCLUDED.updated_at END
WHERE NOT $5::boolean
RETURNING ` + presetColumns + `, xmax = 0`

	changePresetSQL = `
UPDATE presets SET type = $3, params = $4::json,
	version = version + CASE WHEN type = $3 AND params::text = $4::text THEN 0 ELSE 1 END,
	updated_at = CASE WHEN type = $3 AND params::text = $4::text THEN updated_at ELSE date_trunc('milliseconds', now()) END
WHERE tenant = $1 AND name = $2 AND ($5::bigint = 0 OR version = $5 AND created_at = $6::timestamptz)
RETURNING ` + presetColumns
)

// PutPreset creates the preset or replaces it.
func (l *Ledger) PutPreset(ctx context.Context, p millrace.Preset, match *store.PresetMatch) (stored millrace.Preset, created bool, err error) {
	params := cmp.Or(string(p.Params), "{}")
	err = again(ctx, "put preset", func(ctx context.Context) error {
		if match != nil && !match.Absent {
			stored, err = scanPreset(l.pool.QueryRow(ctx, changePresetSQL, p.Tenant, p.Name, p.Type, params, match.Version, match.CreatedAt))
		} else {
			stored, err = scanPreset(l.pool.QueryRow(ctx, putPresetSQL, p.Tenant, p.Name, p.Type, params, match != nil), &created)
		}
		if errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("%s of %s: %w", p.Name, p.Tenant, store.ErrState)
		}
		return err
	})
	return stored, created, err
}

const presetSQL = `SELECT ` + presetColumns + ` FROM presets WHERE tenant = $1 AND name = $2`

// Preset reads one.
func (l *Ledger) Preset(ctx context.Context, tenant, name string) (millrace.Preset, error) {
	ctx, cancel := reading(ctx)
	defer cancel()
	p, err := scanPreset(l.pool.QueryRow(ctx, presetSQL, tenant, clean(name)))
	return p, wrap("read preset", err)
}

const listPresetsSQL = `SELECT ` + presetColumns + ` FROM presets WHERE tenant = $1 AND name > $2 ORDER BY name LIMIT $3`

// ListPresets reads a page by name.
func (l *Ledger) ListPresets(ctx context.Context, tenant, after string, limit int) ([]millrace.Preset, error) {
	if limit <= 0 {
		limit = defaultPage
	}
	ctx, cancel := reading(ctx)
	defer cancel()
	rows, err := l.pool.Query(ctx, listPresetsSQL, tenant, clean(after), limit)
	if err != nil {
		return nil, wrap("list presets", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (millrace.Preset, error) { return scanPreset(row) })
	return all, wrap("list presets", err)
}

const deletePresetSQL = `DELETE FROM presets WHERE tenant = $1 AND name = $2 AND ($3::bigint = 0 OR version = $3 AND created_at = $4::timestamptz)`

// DeletePreset removes one.
func (l *Ledger) DeletePreset(ctx context.Context, tenant, name string, match *store.PresetMatch) error {
	var want store.PresetMatch
	if match != nil {
		want = *match
	}
	return again(ctx, "delete preset", func(ctx context.Context) error {
		tag, err := l.pool.Exec(ctx, deletePresetSQL, tenant, clean(name), want.Version, want.CreatedAt)
		switch {
		case err != nil || tag.RowsAffected() > 0:
			return err
		case match != nil:
			return store.ErrState
		}
		return store.ErrNotFound
	})
}
