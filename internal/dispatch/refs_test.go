package dispatch_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/dispatch"
)

// TestFilesInParams: what params speak of is an input like those that the client names, after them and once.
func TestFilesInParams(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 0)
	own, mark, other := f.File("own", []byte("own")), f.File("mark", []byte("mark")), f.File("other", []byte("other"))
	spec := func(cache bool, files ...string) dispatch.Spec {
		s := f.spec(own.ID)
		s.Cache = &cache
		params, err := json.Marshal(map[string][]string{"files": files})
		if err != nil {
			t.Fatal(err)
		}
		s.Params = params
		return s
	}
	job, err := f.Submit(t.Context(), spec(true, mark.ID, own.ID, other.ID, mark.ID))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(job.Inputs), fmt.Sprint([]millrace.Input{{File: own.ID}, {File: mark.ID}, {File: other.ID}}); got != want {
		t.Errorf("inputs %s, want %s", got, want)
	}
	second, err := f.Submit(t.Context(), spec(true, other.ID))
	if err != nil {
		t.Fatal(err)
	}
	if job.CacheKey == "" || second.CacheKey == job.CacheKey {
		t.Errorf("cache keys %q and %q", job.CacheKey, second.CacheKey)
	}
	const absent = "0193a8b0-0000-7000-8000-000000000000"
	for _, tt := range []struct{ name, file string }{{"absent", absent}, {"no id", "../x"}, {"upper case", "0193A8B0-0000-7000-8000-000000000000"}, {"empty", ""}} {
		for _, cache := range []bool{true, false} {
			_, err := f.Submit(t.Context(), spec(cache, mark.ID, tt.file))
			e, ok := errors.AsType[*millrace.Error](err)
			if !ok || e.Kind != millrace.Invalid || len(e.Fields) != 1 || e.Fields[0].Pointer != "/params/files/1" {
				t.Errorf("%s, cache %v: %v, want Invalid at /params/files/1", tt.name, cache, err)
			}
		}
	}
	s := spec(true, mark.ID)
	s.Tenant = "somebody-else"
	if _, err := f.Submit(t.Context(), s); millrace.KindOf(err) != millrace.Invalid {
		t.Errorf("a file of another tenant: %v", err)
	}
	batch := f.Batch(millrace.DefaultTenant, 2)
	batch.Add(t.Context(), spec(true, absent))
	batch.Add(t.Context(), spec(true, mark.ID))
	items, err := batch.Commit(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if e, ok := errors.AsType[*millrace.Error](items[0].Err); !ok || e.Fields[0].Pointer != "/params/files/0" || items[1].Err != nil {
		t.Errorf("batch: %+v", items)
	}
	refs, err := f.Refs(t.Context(), spec(true, mark.ID))
	if err != nil || len(refs) != 1 || refs[0].File != mark.ID {
		t.Errorf("Refs = %v, %v", refs, err)
	}
}
