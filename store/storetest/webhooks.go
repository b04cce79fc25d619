package storetest

import (
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

func webhookTests() []test {
	tests := []test{
		{"one for each run", testWebhookRuns},
		{"none without a webhook", testWebhookNone},
		{"none when the attempt goes on", testWebhookAttempts},
		{"none when the outcome loses", testWebhookLoser},
		{"one when the outcome is repeated", testWebhookRepeated},
		{"of a cached job", testWebhookCached},
		{"of another tenant", testWebhookForeign},
	}
	for _, e := range endings() {
		tests = append(tests,
			test{"exactly one after " + e.name, func(f *fixture) { f.testWebhookWanted(e) }},
			test{"none for unwanted events after " + e.name, func(f *fixture) { f.testWebhookUnwanted(e) }})
	}
	return tests
}

const hookURL = "https://hooks.example/millrace?a=1&b=2"

func webhook(events ...millrace.State) func(*millrace.Job) {
	return func(j *millrace.Job) {
		j.Webhook = &millrace.Webhook{URL: hookURL}
		for _, e := range events {
			j.Webhook.Events = append(j.Webhook.Events, string(e))
		}
	}
}

// anyEnd asks for all events.
func anyEnd() func(*millrace.Job) {
	return webhook(millrace.Succeeded, millrace.Failed, millrace.Canceled)
}

func (f *fixture) deliveries(job string) []millrace.WebhookDelivery {
	f.Helper()
	got, err := f.Ledger.WebhookDeliveries(f.ctx, f.tenant, job)
	f.must(err)
	return got
}

// wantDeliveries checks that the job's runs have ended with these events, one delivery each.
func (f *fixture) wantDeliveries(job string, events ...millrace.State) {
	f.Helper()
	var want []millrace.WebhookDelivery
	for i, event := range events {
		want = append(want, millrace.WebhookDelivery{
			ID: millrace.WebhookID(job, i+1), Tenant: f.tenant, Job: job, Run: i + 1, Event: string(event), URL: hookURL,
		})
	}
	got := f.deliveries(job)
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(millrace.WebhookDelivery{}, "CreatedAt"), cmpopts.EquateEmpty()); diff != "" {
		f.Errorf("deliveries (-want +got):\n%s", diff)
	}
	for _, d := range got {
		f.wantNear("CreatedAt of a delivery", d.CreatedAt, f.Now())
	}
}

func (f *fixture) testWebhookWanted(e ending) {
	j := f.queued(append(e.prepare(f), webhook(e.state))...)
	if diff := cmp.Diff(j.Webhook, f.get(j.ID).Webhook); diff != "" {
		f.Errorf("webhook read back (-want +got):\n%s", diff)
	}
	f.wantDeliveries(j.ID)
	e.end(f, j)
	f.wantDeliveries(j.ID, e.state)
}

func (f *fixture) testWebhookUnwanted(e ending) {
	var others []millrace.State
	for _, s := range []millrace.State{millrace.Succeeded, millrace.Failed, millrace.Canceled} {
		if s != e.state {
			others = append(others, s)
		}
	}
	j := f.queued(append(e.prepare(f), webhook(others...))...)
	e.end(f, j)
	f.wantDeliveries(j.ID)
}

func testWebhookRuns(f *fixture) {
	w := f.worker()
	j := f.end(f.running(w, anyEnd()), store.OutcomeFailed)
	f.wantDeliveries(j.ID, millrace.Failed)
	f.retry(j.ID)
	f.wantDeliveries(j.ID, millrace.Failed)
	f.cancel(j.ID)
	f.wantDeliveries(j.ID, millrace.Failed, millrace.Canceled)
	f.retry(j.ID)
	f.end(f.claim(w, j.ID), store.OutcomeSucceeded)
	f.wantDeliveries(j.ID, millrace.Failed, millrace.Canceled, millrace.Succeeded)
}

func testWebhookNone(f *fixture) {
	j := f.end(f.running(f.worker()), store.OutcomeSucceeded)
	f.wantDeliveries(j.ID)
	if got := f.get(j.ID).Webhook; got != nil {
		f.Errorf("webhook read back = %+v, want none", got)
	}
}

func testWebhookAttempts(f *fixture) {
	w, j := f.worker(), f.queued(anyEnd())
	f.end(f.claim(w, j.ID), store.OutcomeRetry)
	f.end(f.claim(w, j.ID), store.OutcomeReleased)
	f.crash(j.ID, 1)
	f.claim(w, j.ID)
	f.cancel(j.ID) // asked for, not done
	f.wantDeliveries(j.ID)
}

func testWebhookLoser(f *fixture) {
	w, j := f.worker(), f.queued(anyEnd())
	stale := f.claim(w, j.ID)
	f.end(stale, store.OutcomeReleased)
	late := f.claim(f.worker(), j.ID)
	for _, kind := range []store.OutcomeKind{store.OutcomeSucceeded, store.OutcomeFailed, store.OutcomeCanceled} {
		if f.finish(f.outcome(stale, kind)) {
			f.Errorf("a stale %s won", kind)
		}
	}
	f.wantDeliveries(j.ID)
	f.end(late, store.OutcomeFailed)
	if f.finish(f.outcome(late, store.OutcomeSucceeded)) || f.finish(f.outcome(stale, store.OutcomeSucceeded)) {
		f.Error("an outcome won after the end")
	}
	f.wantDeliveries(j.ID, millrace.Failed)
}

func testWebhookRepeated(f *fixture) {
	j := f.running(f.worker(), anyEnd())
	for range 3 { // after lost answers
		f.end(j, store.OutcomeSucceeded)
	}
	f.wantDeliveries(j.ID, millrace.Succeeded)
}

// testWebhookCached: to be inserted with its result is a way to end, too.
func testWebhookCached(f *fixture) {
	first, _ := f.computed()
	for _, tt := range []struct {
		webhook func(*millrace.Job)
		want    []millrace.State
	}{{webhook(millrace.Succeeded), []millrace.State{millrace.Succeeded}}, {webhook(millrace.Failed), nil}} {
		hit := f.hit(first)
		tt.webhook(hit.Job)
		for range 2 {
			f.must(f.Ledger.Insert(f.ctx, []store.NewJob{hit})[0])
		}
		f.wantDeliveries(hit.ID, tt.want...)
	}
}

func testWebhookForeign(f *fixture) {
	j := f.end(f.running(f.worker(), anyEnd()), store.OutcomeSucceeded)
	if got, _ := f.Ledger.WebhookDeliveries(f.ctx, f.other, j.ID); len(got) > 0 {
		f.Errorf("deliveries for another tenant = %+v, want none", got)
	}
}
