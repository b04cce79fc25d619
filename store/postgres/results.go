package postgres

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/millrace/millrace/store"
)

// resultSQL finds no entry one of whose files has been deleted.
const resultSQL = `
SELECT j.id, j.result, j.outputs
FROM results r, LATERAL (SELECT id, result, outputs FROM jobs WHERE id = r.job AND tenant = $1 AND state = 'succeeded' OFFSET 0) j
WHERE r.cache_key = $2 AND r.tenant = $1 AND (j.outputs IS NULL OR json_array_length(j.outputs) = (
	SELECT count(*) FROM json_array_elements(j.outputs) AS o,
		LATERAL (SELECT 1 FROM files f WHERE f.id = (o.value->>'file')::uuid AND f.tenant = $1 OFFSET 0) there))`

// Result finds what an earlier job computed.
func (l *Ledger) Result(ctx context.Context, tenant, key string) (store.Result, error) {
	var (
		id      pgtype.UUID
		result  store.Result
		outputs []byte
	)
	ctx, cancel := reading(ctx)
	defer cancel()
	if err := l.pool.QueryRow(ctx, resultSQL, tenant, key).Scan(&id, &result.Result, &outputs); err != nil {
		return store.Result{}, wrap("read result", err)
	}
	result.Job = id.String()
	if len(outputs) > 0 {
		if err := json.Unmarshal(outputs, &result.Outputs); err != nil {
			return store.Result{}, wrap("read result", err)
		}
	}
	return result, nil
}
