package postgres_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/postgres"
)

// TestMalformedIDs: ids come out of URLs. One that is none belongs to nothing, and is no error of the database.
func TestMalformedIDs(t *testing.T) {
	t.Parallel()
	l, ctx := open(t, testenv.Postgres(t)), t.Context()
	d := insert(t, l, 1)[0]
	for _, id := range []string{"", "x", "' OR true --", strings.ToUpper(d.Job), "{" + d.Job + "}", strings.ReplaceAll(d.Job, "-", ""), d.Job + "\x00"} {
		_, job := l.Job(ctx, millrace.DefaultTenant, id)
		_, cancel := l.Cancel(ctx, millrace.DefaultTenant, id)
		_, retry := l.Retry(ctx, millrace.DefaultTenant, id, nil)
		_, file := l.File(ctx, millrace.DefaultTenant, id)
		for name, err := range map[string]error{
			"Job": job, "Cancel": cancel, "Retry": retry, "File": file, "Delete": l.Delete(ctx, millrace.DefaultTenant, id),
			"DeleteFile": l.DeleteFile(ctx, millrace.DefaultTenant, id),
		} {
			if !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s(%q) = %v, want ErrNotFound", name, id, err)
			}
		}
		if _, err := l.Beat(ctx, store.Beat{Worker: id}); !errors.Is(err, store.ErrBuried) {
			t.Errorf("Beat(%q) = %v, want ErrBuried", id, err)
		}
		odd := store.Delivery{Job: id, Fence: 1}
		claimed, err := l.Claim(ctx, newWorker(t, l), []store.Delivery{odd})
		if err != nil || claimed[0].Job != nil {
			t.Errorf("Claim(%q) = %v, %v, want nothing", id, claimed, err)
		}
		won, err := l.Finish(ctx, []store.Outcome{{Job: id, Kind: store.OutcomeFailed}})
		if err != nil || won[0] {
			t.Errorf("Finish(%q) = %v, %v, want lost", id, won, err)
		}
		reply, err := l.Beat(ctx, store.Beat{Worker: newWorker(t, l), Running: []store.Holding{{Job: id, Fence: 1}}})
		if err != nil || len(reply.Lost) != 1 || reply.Lost[0] != odd {
			t.Errorf("Beat holding %q = %+v, %v, want it lost", id, reply, err)
		}
		if err := errors.Join(l.MarkSent(ctx, []store.Delivery{odd}, 1), l.Refence(ctx, []store.Delivery{odd}), l.Bury(ctx, id, store.Death{Crash: true}), l.Leave(ctx, id)); err != nil {
			t.Errorf("hints about %q: %v", id, err)
		}
		if _, err := l.List(ctx, millrace.DefaultTenant, store.JobFilter{Before: id, Tag: id, Type: id}); err != nil {
			t.Errorf("List before %q: %v", id, err)
		}
		if _, err := l.ListFiles(ctx, millrace.DefaultTenant, id, 1); err != nil {
			t.Errorf("ListFiles before %q: %v", id, err)
		}
	}
	if j := get(t, l, d.Job); j.State != millrace.Queued || j.Fence != 1 {
		t.Errorf("the job beside all this = %s, fence %d", j.State, j.Fence)
	}
}

func FuzzParseID(f *testing.F) {
	for _, s := range []string{"", newID(), strings.ToUpper(newID()), "{" + newID() + "}", "00000000-0000-7000-8000-00000000000g", strings.Repeat("-", 36)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if back, ok := postgres.ParseID(s); ok && back != s {
			t.Fatalf("%q was read as %q: an id has one spelling", s, back)
		}
	})
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"", "plain", "nul \x00", "\xff\xfe", "ü\u0000\ufffd"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := postgres.Clean(s)
		if !utf8.ValidString(got) || strings.Contains(got, "\x00") {
			t.Fatalf("Clean(%q) = %q", s, got)
		}
		if utf8.ValidString(s) && !strings.Contains(s, "\x00") && got != s {
			t.Fatalf("Clean(%q) = %q changed good text", s, got)
		}
	})
}
