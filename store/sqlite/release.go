package sqlite

import (
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

const (
	waitingSQL = `SELECT id FROM jobs INDEXED BY jobs_waiting WHERE waits_for = ? AND state = 'waiting' ORDER BY id LIMIT ?`

	// endWaitingSQL ends a job as its leader ended: ?3 is the state, ?4 whether it comes out of the cache.
	endWaitingSQL = `UPDATE jobs SET state = ?3, waits_for = NULL, fence = fence + 1, cached = ?4, result = ?5, outputs = ?6, error = ?7,
		started_at = iif(?4, ?2, NULL), finished_at = ?2, expires_at = ?2 + retention / 1000000
		WHERE id = ?1 AND state = 'waiting' RETURNING ` + finalColumns

	promoteSQL = `UPDATE jobs SET state = 'queued', waits_for = NULL, fence = fence + 1, sent_gen = 0, run_at = ?2, due_at = ?2
		WHERE id = ?1 AND state = 'waiting'`
	rejoinSQL    = `UPDATE jobs SET waits_for = ?2 WHERE id = ?1 AND state = 'waiting'`
	dropRelease  = `DELETE FROM equal_releases WHERE id = ?`
	sharedSQL    = `SELECT f.blob FROM files f JOIN blobs b ON b.key = f.blob WHERE f.id = ? AND f.tenant = ? AND b.state = 'live'`
	leaderEndSQL = `SELECT state, result, outputs, error FROM jobs WHERE id = ?`
)

// verdict is what the end of a leader means for those who wait for it. The zero value: one of them is to lead.
type verdict struct {
	state         millrace.State
	result, error sql.NullString
	outputs       []newFile // the leader's, with their blobs
}

// releaseSome releases up to about most jobs of a group whose leader has ended, and says how many. What is left is owed.
func (t *tx) releaseSome(p parted, most int) (n int, err error) {
	v, err := t.judge(p)
	if err == nil && v.state == "" {
		n, err = t.promote(p, most)
	} else if err == nil {
		n, err = t.endWaiting(p, v, max(1, most/max(1, len(v.outputs))))
	}
	if err != nil {
		return 0, fmt.Errorf("release jobs that wait for %s: %w", p.leader, err)
	}
	return n, nil
}

// judge reads how the leader ended.
func (t *tx) judge(p parted) (v verdict, err error) {
	var outputs, failure sql.NullString
	err = t.row(leaderEndSQL, p.leader).Scan(&v.state, &v.result, &outputs, &failure)
	if errors.Is(err, sql.ErrNoRows) {
		return verdict{}, nil
	}
	if err != nil {
		return v, err
	}
	switch v.state {
	case millrace.Failed:
		var e *millrace.JobError
		if err = into(&e)(failure.String); err == nil && store.ForAll(e) {
			v.error = failure
			return v, nil
		}
	case millrace.Succeeded:
		var list []millrace.Output
		if outputs.Valid {
			err = into(&list)(outputs.String)
		}
		shared := true
		for i := 0; i < len(list) && shared && err == nil; i++ {
			out := newFile{Output: list[i]}
			err = t.row(sharedSQL, out.File, p.tenant).Scan(&out.blob)
			if shared = !errors.Is(err, sql.ErrNoRows); !shared {
				err = nil
			}
			v.outputs = append(v.outputs, out)
		}
		if shared {
			return v, err
		}
	}
	return verdict{}, err
}

// waiting reads the oldest who wait, and whether that is all of them.
func (t *tx) waiting(p parted, most int) (ids []string, all bool, err error) {
	err = t.rows(func(row scanner) error {
		ids = append(ids, "")
		return row.Scan(&ids[len(ids)-1])
	}, waitingSQL, p.id, most+1)
	if len(ids) > most {
		return ids[:most], false, err
	}
	return ids, true, err
}

// endWaiting ends jobs as their leader ended.
func (t *tx) endWaiting(p parted, v verdict, most int) (int, error) {
	ids, all, err := t.waiting(p, most)
	if err != nil {
		return 0, err
	}
	for _, id := range ids {
		if err := t.endOne(p, v, id); err != nil {
			return 0, err
		}
	}
	if all {
		_, err = t.exec(dropRelease, p.id)
	}
	return len(ids), err
}

func (t *tx) endOne(p parted, v verdict, id string) error {
	files, outputs := make([]newFile, len(v.outputs)), make([]millrace.Output, len(v.outputs))
	for i, out := range v.outputs {
		made, err := uuid.NewV7()
		if err != nil {
			return err
		}
		out.File = made.String()
		files[i], outputs[i] = out, out.Output
	}
	list, err := encode(outputs, len(outputs) == 0)
	if err != nil {
		return err
	}
	f, err := scanFinal(t.row(endWaitingSQL, id, t.now, string(v.state), v.state == millrace.Succeeded, v.result, list, v.error))
	if err != nil {
		return err
	}
	if err := t.writeOutputs(p.tenant, id, files, f.expires); err != nil {
		return err
	}
	f.cacheKey = "" // it led nobody
	t.news = append(t.news, store.Release{Tenant: p.tenant, Job: id, State: v.state})
	return t.conclude(f)
}

// promote makes the oldest who waits the leader, for whom the others wait then without being written. Where another job leads by now, because the
// leader's end was noticed late, they wait for that.
func (t *tx) promote(p parted, most int) (int, error) {
	other, leads, err := t.group(p.tenant, p.cacheKey)
	if err != nil {
		return 0, err
	}
	if leads {
		return t.rejoin(p, other, most)
	}
	ids, all, err := t.waiting(p, 1)
	if err != nil {
		return 0, err
	}
	if len(ids) > 0 {
		if _, err := t.exec(promoteSQL, ids[0], t.now); err != nil {
			return 0, err
		}
		if _, err := t.exec(leadSQL, p.tenant, p.cacheKey, p.id, ids[0], !all); err != nil {
			return 0, err
		}
		t.news = append(t.news, store.Release{Tenant: p.tenant, Job: ids[0], State: millrace.Queued})
	}
	_, err = t.exec(dropRelease, p.id)
	return len(ids), err
}

func (t *tx) rejoin(p parted, group string, most int) (int, error) {
	ids, all, err := t.waiting(p, most)
	if err != nil {
		return 0, err
	}
	for _, id := range ids {
		if _, err := t.exec(rejoinSQL, id, group); err != nil {
			return 0, err
		}
	}
	if all {
		_, err = t.exec(dropRelease, p.id)
	}
	if err == nil && len(ids) > 0 {
		_, err = t.exec(followSQL, p.tenant, p.cacheKey)
	}
	return len(ids), err
}
