package sqlite

import (
	"database/sql"
	"fmt"
	"slices"

	"github.com/millrace/millrace"
)

// final is a job whose run has ended in this transaction: what its other tables must be told.
type final struct {
	job, tenant string
	state       millrace.State
	run         int
	expires     sql.NullInt64
	inputs      bool // it had some
	unique      sql.NullString
	webhook     sql.NullString
	cacheKey    string // of a job that may lead equal ones
}

// finalColumns are what update statements return for scanFinal.
const finalColumns = `id, tenant, state, run, expires_at, inputs IS NOT NULL, unique_key, webhook, cache_key`

func scanFinal(row scanner) (f final, err error) {
	err = row.Scan(&f.job, &f.tenant, &f.state, &f.run, &f.expires, &f.inputs, &f.unique, &f.webhook, &f.cacheKey)
	return f, err
}

// conclude is the same for every way to a final state: files and the unique key are let go, the webhook is owed a call, and those who wait for the
// job are released. The job's outputs must have been written.
func (t *tx) conclude(f final) error {
	if f.inputs {
		if err := t.release(f.job, f.expires); err != nil {
			return err
		}
	}
	if f.unique.Valid {
		if err := t.letGo(f.tenant, f.job, f.unique.String); err != nil {
			return err
		}
	}
	if f.webhook.Valid {
		if err := t.owe(f); err != nil {
			return err
		}
	}
	if f.cacheKey == "" {
		return nil
	}
	p, followed, err := t.part(f.tenant, f.cacheKey, f.job)
	if err == nil && followed {
		_, err = t.releaseSome(p, removal)
	}
	return err
}

// release lets go of the files that the job needed. They stay at least as long as the job, so that it can be looked at and retried.
func (t *tx) release(job string, expires sql.NullInt64) error {
	if _, err := t.exec(`UPDATE files SET expires_at = ?2 WHERE id IN (SELECT file FROM job_files WHERE job = ?1) AND expires_at < ?2`,
		job, expires); err != nil {
		return fmt.Errorf("keep inputs: %w", err)
	}
	if _, err := t.exec(`DELETE FROM job_files WHERE job = ?`, job); err != nil {
		return fmt.Errorf("release inputs: %w", err)
	}
	return nil
}

// oweSQL writes nothing where the run's delivery is there already: there is one for each.
const oweSQL = `INSERT INTO webhook_deliveries (id, tenant, job, run, event, url, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)
	ON CONFLICT (id) DO NOTHING`

// owe writes the delivery that tells of the end of a run, if the job's webhook wants to hear of that state.
func (t *tx) owe(f final) error {
	var hook millrace.Webhook
	if err := into(&hook)(f.webhook.String); err != nil {
		return fmt.Errorf("job %s: decode webhook: %w", f.job, err)
	}
	if !slices.Contains(hook.Events, string(f.state)) {
		return nil
	}
	if _, err := t.exec(oweSQL, millrace.WebhookID(f.job, f.run), f.tenant, f.job, f.run, string(f.state), hook.URL, t.now); err != nil {
		return fmt.Errorf("owe a webhook: %w", err)
	}
	return nil
}
