package sqlite

import (
	"database/sql"
	"errors"
	"fmt"

	"github.com/millrace/millrace"
)

const (
	// groupSQL finds who leads the jobs of a cache key. The leader's state is NULL where there is no such job.
	groupSQL = `SELECT g.id, g.leader, j.state FROM equal_groups g LEFT JOIN jobs j ON j.id = g.leader WHERE g.tenant = ? AND g.cache_key = ?`

	leadSQL    = `INSERT INTO equal_groups (tenant, cache_key, id, leader, followed) VALUES (?, ?, ?, ?, ?)`
	followSQL  = `UPDATE equal_groups SET followed = 1 WHERE tenant = ? AND cache_key = ? AND followed = 0`
	partSQL    = `DELETE FROM equal_groups WHERE tenant = ? AND cache_key = ? AND leader = ? RETURNING id, followed`
	oweRelease = `INSERT INTO equal_releases (id, tenant, cache_key, leader) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`
)

// parted is a group of equal jobs whose leader has ended.
type parted struct{ id, tenant, cacheKey, leader string }

// knownWaiting says whether there is a job of the row's id, and notes it if that waits.
func (t *tx) knownWaiting(row *newRow) (bool, error) {
	var state millrace.State
	err := t.row(`SELECT state FROM jobs WHERE id = ?`, row.id).Scan(&state)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	row.waits = state == millrace.Waiting
	return err == nil, err
}

// join lets a new job wait for the one that leads, or lead.
func (t *tx) join(row *newRow) error {
	group, leads, err := t.group(row.tenant, row.cacheKey)
	if err != nil {
		return fmt.Errorf("look for an equal job: %w", err)
	}
	if !leads {
		_, err = t.exec(leadSQL, row.tenant, row.cacheKey, row.id, row.id, false)
		return err
	}
	if _, err = t.exec(followSQL, row.tenant, row.cacheKey); err != nil {
		return err
	}
	row.wait(group)
	if row.key != nil && row.ifWaiting != nil {
		row.key.Answer = row.ifWaiting
	}
	return nil
}

// wait makes the row that of a job that waits.
func (row *newRow) wait(group string) {
	const state = 3 // its place in jobColumns
	n := len(row.args)
	row.waits, row.args[state], row.args[n-2], row.args[n-1] = true, string(millrace.Waiting), nil, group
}

// group answers the group of the cache key that has a live leader. One whose leader ended without a word is parted: a program did that which knew
// nothing of groups.
func (t *tx) group(tenant, cacheKey string) (id string, leads bool, err error) {
	var leader string
	var state sql.NullString
	err = t.row(groupSQL, tenant, cacheKey).Scan(&id, &leader, &state)
	if errors.Is(err, sql.ErrNoRows) {
		return "", false, nil
	}
	if err != nil || state.Valid && !millrace.State(state.String).Final() {
		return id, err == nil, err
	}
	_, _, err = t.part(tenant, cacheKey, leader)
	return "", false, err
}

// part ends the group that the job leads, if it leads one, and says whether somebody is to be released.
func (t *tx) part(tenant, cacheKey, leader string) (p parted, followed bool, err error) {
	p = parted{tenant: tenant, cacheKey: cacheKey, leader: leader}
	err = t.row(partSQL, tenant, cacheKey, leader).Scan(&p.id, &followed)
	if errors.Is(err, sql.ErrNoRows) {
		return p, false, nil
	}
	if err == nil && followed {
		_, err = t.exec(oweRelease, p.id, tenant, cacheKey, leader)
	}
	if err != nil {
		err = fmt.Errorf("part equal jobs: %w", err)
	}
	return p, followed, err
}
