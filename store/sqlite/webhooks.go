package sqlite

import (
	"context"
	"fmt"

	"github.com/millrace/millrace"
)

const (
	deliveriesSQL  = `SELECT id, tenant, job, run, event, url, created_at FROM webhook_deliveries WHERE job = ? AND tenant = ? ORDER BY run`
	dropDeliveries = `DELETE FROM webhook_deliveries WHERE job = ?`
)

// WebhookDeliveries implements store.Jobs.
func (l *Ledger) WebhookDeliveries(ctx context.Context, tenant, job string) ([]millrace.WebhookDelivery, error) {
	var all []millrace.WebhookDelivery
	err := each(func(row scanner) error {
		var d millrace.WebhookDelivery
		var created int64
		err := row.Scan(&d.ID, &d.Tenant, &d.Job, &d.Run, &d.Event, &d.URL, &created)
		d.CreatedAt = instant(created)
		all = append(all, d)
		return err
	})(l.reads.QueryContext(ctx, deliveriesSQL, job, tenant))
	if err != nil {
		return nil, fmt.Errorf("list webhook deliveries: %w", err)
	}
	return all, nil
}
