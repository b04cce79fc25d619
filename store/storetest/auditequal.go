package storetest

import "github.com/millrace/millrace"

// checkEqual wants a live leader for every job that waits for an equal one.
func (r *report) checkEqual() {
	if r.Public {
		return // clients do not see what is equal
	}
	type key struct{ tenant, cacheKey string }
	live := map[key]bool{}
	for _, j := range r.jobs {
		if !j.State.Final() && j.State != millrace.Waiting && j.CacheKey != "" {
			live[key{j.Tenant, j.CacheKey}] = true
		}
	}
	for _, j := range r.jobs {
		r.say(j.State == millrace.Waiting && !live[key{j.Tenant, j.CacheKey}], "I13", j.ID, "waits, and nothing lives that it could wait for")
	}
}
