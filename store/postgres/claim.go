package postgres

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

// claimedColumns are a claimed job c, the delivery's place in the batch and the job's input files in order.
const claimedColumns = jobColumns + `, n, CASE WHEN c.inputs IS NOT NULL THEN (
	SELECT jsonb_agg(jsonb_build_object('ID', f.id, 'Tenant', f.tenant, 'Name', f.name, 'Size', f.size, 'SHA256', f.sha256,
		'ContentType', f.content_type, 'Blob', f.blob, 'Job', f.job, 'CreatedAt', f.created_at, 'ExpiresAt', f.expires_at) ORDER BY i.n)
	FROM jsonb_array_elements(c.inputs) WITH ORDINALITY AS i (value, n) LEFT JOIN LATERAL (
		SELECT ` + fileColumns + ` FROM files WHERE id = (i.value->>'file')::uuid AND tenant = c.tenant OFFSET 0) f ON true) END`

// claimSQL is guarded by the fence, the state and the worker's life: a buried worker that thaws gets nothing. A job of a paused queue waits, one
// past its deadline fails without another attempt.
const claimSQL = `
WITH u AS (
	SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::int[]) AS u (job, delivered, n)
), c AS (
	UPDATE jobs j SET state = 'running', fence = fence + 1, attempt = attempt + 1, starts = starts + 1, worker_id = $4, due_at = NULL,
		started_at = now(), progress = NULL
	FROM u
	WHERE j.id = ANY ($1) AND j.id = u.job AND j.fence = u.delivered AND j.state IN ('scheduled', 'queued', 'retrying') AND j.cancel_at IS NULL
		AND (j.deadline > now()) IS NOT FALSE AND j.queue <> ALL (ARRAY(SELECT queue FROM paused_queues))
		AND EXISTS (SELECT 1 FROM workers WHERE id = $4 AND state = 'live')
	RETURNING ` + jobColumns + `, u.n
)
SELECT ` + claimedColumns + ` FROM c`

// reclaimSQL finds what this worker claimed with an earlier call whose answer it has not seen.
const reclaimSQL = `
SELECT ` + claimedColumns + `
FROM unnest($1::uuid[], $2::bigint[], $3::int[]) AS u (job, delivered, n), LATERAL (
	SELECT ` + jobColumns + ` FROM jobs WHERE id = u.job AND fence = u.delivered + 1 AND state = 'running' AND worker_id = $4 OFFSET 0) c
WHERE EXISTS (SELECT 1 FROM workers WHERE id = $4 AND state = 'live')`

// wanted is a delivery with its place in the caller's list.
type wanted struct {
	id    pgtype.UUID
	fence int64
	n     int
}

func (w wanted) key() pgtype.UUID { return w.id }
func (w wanted) delivered() int64 { return w.fence }
func (w wanted) place() int       { return w.n }

// Claim takes jobs for a worker, all in one statement. Only when one is refused a second asks whether it is the worker's already.
func (l *Ledger) Claim(ctx context.Context, worker string, deliveries []store.Delivery) ([]store.Claimed, error) {
	claimed := make([]store.Claimed, len(deliveries))
	owner, ok := parseID(worker)
	todo := distinct(deliveries)
	if !ok || len(todo) == 0 {
		return claimed, nil
	}
	for _, sql := range []string{claimSQL, reclaimSQL} {
		err := again(ctx, "claim jobs", func(ctx context.Context) error { return l.claim(ctx, sql, owner, todo, claimed) })
		if err != nil {
			return nil, err
		}
		todo = slices.DeleteFunc(todo, func(w wanted) bool { return claimed[w.n].Job != nil })
		if len(todo) == 0 {
			return claimed, nil
		}
	}
	return claimed, again(ctx, "claim jobs", func(ctx context.Context) error { return l.alive(ctx, owner) })
}

// alive is ErrBuried for a worker that is not: its refused deliveries may be claimed by others, so it must not drop them.
func (l *Ledger) alive(ctx context.Context, worker pgtype.UUID) error {
	var lives bool
	err := l.pool.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM workers WHERE id = $1 AND state = 'live')`, worker).Scan(&lives)
	if err == nil && !lives {
		return store.ErrBuried
	}
	return err
}

func (l *Ledger) claim(ctx context.Context, sql string, owner pgtype.UUID, todo []wanted, claimed []store.Claimed) error {
	rows, err := l.pool.Query(ctx, sql,
		column(todo, wanted.key), column(todo, wanted.delivered), column(todo, wanted.place), owner)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var (
			n      int
			inputs []byte
		)
		job, err := scanJob(rows, &n, &inputs)
		if err != nil {
			return err
		}
		files, err := readInputs(inputs)
		if err != nil {
			return fmt.Errorf("job %s: %w", job.ID, err)
		}
		claimed[n] = store.Claimed{Job: job, Inputs: files, Started: job.StartedAt}
	}
	return rows.Err()
}

// distinct parses deliveries and sorts them by job, so that batches take their locks in one order. The same delivery twice in a batch is one.
func distinct(deliveries []store.Delivery) []wanted {
	all := make([]wanted, 0, len(deliveries))
	for n, d := range deliveries {
		if id, ok := parseID(d.Job); ok {
			all = append(all, wanted{id, d.Fence, n})
		}
	}
	slices.SortStableFunc(all, func(a, b wanted) int { return bytes.Compare(a.id.Bytes[:], b.id.Bytes[:]) })
	return slices.CompactFunc(all, func(a, b wanted) bool { return a.id == b.id && a.fence == b.fence })
}

// readInputs decodes what claimedColumns builds; a missing file is an object of nulls.
func readInputs(text []byte) ([]millrace.File, error) {
	if len(text) == 0 {
		return nil, nil
	}
	var files []millrace.File
	if err := json.Unmarshal(text, &files); err != nil {
		return nil, fmt.Errorf("read inputs: %w", err)
	}
	for i := range files {
		files[i].CreatedAt, files[i].ExpiresAt = utc(files[i].CreatedAt), utc(files[i].ExpiresAt)
	}
	return files, nil
}

func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC()
}
