package storetest

import (
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

func presetTests() []test {
	return []test{
		{"put and read", testPresetPut},
		{"replaced", testPresetReplaced},
		{"list by name", testPresetList},
		{"of another tenant", testPresetForeign},
		{"delete", testPresetDelete},
		{"matches", testPresetMatch},
		{"changed at once", testPresetRace},
	}
}

// preset is one of the fixture's tenant.
func (f *fixture) preset(name, params string) millrace.Preset {
	return millrace.Preset{Tenant: f.tenant, Name: name, Type: "image.resize", Params: json.RawMessage(params)}
}

func (f *fixture) putPreset(p millrace.Preset) millrace.Preset {
	f.Helper()
	stored, _, err := f.Ledger.PutPreset(f.ctx, p, nil)
	f.must(err)
	return stored
}

func (f *fixture) getPreset(name string) millrace.Preset {
	f.Helper()
	p, err := f.Ledger.Preset(f.ctx, f.tenant, name)
	f.must(err)
	return p
}

func testPresetPut(f *fixture) {
	if _, err := f.Ledger.Preset(f.ctx, f.tenant, "thumb"); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("Preset before PutPreset = %v, want ErrNotFound", err)
	}
	want := f.preset("thumb", `{"width":200,"fit":"cover","background":"#fff"}`)
	stored, created, err := f.Ledger.PutPreset(f.ctx, want, nil)
	f.must(err)
	if !created || stored.Version != 1 {
		f.Errorf("PutPreset: created %v, version %d, want a new one of version 1", created, stored.Version)
	}
	// The text itself: its order of members is the caller's.
	if diff := cmp.Diff(want, stored, cmpopts.IgnoreFields(millrace.Preset{}, "Version", "CreatedAt", "UpdatedAt")); diff != "" {
		f.Errorf("PutPreset answers (-want +got):\n%s", diff)
	}
	f.wantNear("CreatedAt", stored.CreatedAt, f.Now())
	if !stored.UpdatedAt.Equal(stored.CreatedAt) || !stored.CreatedAt.Equal(stored.CreatedAt.Truncate(time.Millisecond)) {
		f.Errorf("created at %v, updated at %v, want the same whole millisecond", stored.CreatedAt, stored.UpdatedAt)
	}
	if diff := cmp.Diff(stored, f.getPreset("thumb")); diff != "" {
		f.Errorf("Preset differs from what PutPreset answered (-put +got):\n%s", diff)
	}
}

func testPresetReplaced(f *fixture) {
	f.putPreset(f.preset("thumb", `{"width":200}`))
	f.Age(f, time.Hour)
	first := f.getPreset("thumb")
	same, created, err := f.Ledger.PutPreset(f.ctx, f.preset("thumb", `{"width":200}`), nil)
	f.must(err)
	if diff := cmp.Diff(first, same); diff != "" || created {
		f.Errorf("PutPreset of the same: created %v (-want +got):\n%s", created, diff)
	}
	change := f.preset("thumb", `{"codec":"zstd"}`)
	change.Type = "file.compress"
	second, created, err := f.Ledger.PutPreset(f.ctx, change, nil)
	f.must(err)
	if created || second.Version != 2 || second.Type != "file.compress" || string(second.Params) != `{"codec":"zstd"}` || !second.CreatedAt.Equal(first.CreatedAt) {
		f.Errorf("PutPreset again: created %v, %+v, want version 2 of what was created at %v", created, second, first.CreatedAt)
	}
	f.wantNear("UpdatedAt", second.UpdatedAt, f.Now())
	if third := f.putPreset(f.preset("thumb", `{"width":200}`)); third.Version != 3 {
		f.Errorf("version of what the first was = %d, want 3", third.Version)
	}
}

func testPresetList(f *fixture) {
	for _, name := range []string{"c", "A", "e", "b", "d", "a-b", "a.b"} {
		f.putPreset(f.preset(name, `{}`))
	}
	theirs := f.preset("0", `{}`)
	theirs.Tenant = f.other
	f.putPreset(theirs)
	var got []string
	for after := ""; ; {
		page, err := f.Ledger.ListPresets(f.ctx, f.tenant, after, 2)
		f.must(err)
		for _, p := range page {
			got = append(got, p.Name)
		}
		if len(page) < 2 {
			break
		}
		after = page[len(page)-1].Name
	}
	if diff := cmp.Diff([]string{"A", "a-b", "a.b", "b", "c", "d", "e"}, got); diff != "" {
		f.Errorf("names (-want +got):\n%s", diff)
	}
	page, err := f.Ledger.ListPresets(f.ctx, f.tenant, "d", 10)
	f.must(err)
	if len(page) != 1 || cmp.Diff(page[0], f.getPreset("e")) != "" {
		f.Errorf("ListPresets after d = %+v, want e as Preset gives it", page)
	}
}

func testPresetForeign(f *fixture) {
	mine := f.putPreset(f.preset("thumb", `{"width":200}`))
	other := f.preset("thumb", `{"width":7}`)
	other.Tenant = f.other
	if theirs := f.putPreset(other); theirs.Version != 1 || string(theirs.Params) != `{"width":7}` {
		f.Errorf("another tenant's preset of that name = %+v", theirs)
	}
	f.must(f.Ledger.DeletePreset(f.ctx, f.other, "thumb", nil))
	if diff := cmp.Diff(mine, f.getPreset("thumb")); diff != "" {
		f.Errorf("another tenant changed the preset (-want +got):\n%s", diff)
	}
	if _, err := f.Ledger.Preset(f.ctx, f.other, "thumb"); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("Preset of another tenant = %v, want ErrNotFound", err)
	}
	if err := f.Ledger.DeletePreset(f.ctx, f.other, "thumb", nil); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("DeletePreset of another tenant = %v, want ErrNotFound", err)
	}
}

func testPresetDelete(f *fixture) {
	f.putPreset(f.preset("thumb", `{"width":200}`))
	f.putPreset(f.preset("thumb", `{"width":300}`))
	f.must(f.Ledger.DeletePreset(f.ctx, f.tenant, "thumb", nil))
	if err := f.Ledger.DeletePreset(f.ctx, f.tenant, "thumb", nil); !errors.Is(err, store.ErrNotFound) {
		f.Errorf("DeletePreset again = %v, want ErrNotFound", err)
	}
	again, created, err := f.Ledger.PutPreset(f.ctx, f.preset("thumb", `{"width":400}`), nil)
	f.must(err)
	if !created || again.Version != 1 {
		f.Errorf("PutPreset after DeletePreset: created %v, version %d, want a new one of version 1", created, again.Version)
	}
}

func testPresetMatch(f *fixture) {
	is := func(p millrace.Preset) *store.PresetMatch {
		return &store.PresetMatch{Version: p.Version, CreatedAt: p.CreatedAt}
	}
	put := func(params string, match *store.PresetMatch, want error) millrace.Preset {
		f.Helper()
		p, created, err := f.Ledger.PutPreset(f.ctx, f.preset("thumb", params), match)
		if !errors.Is(err, want) {
			f.Errorf("PutPreset(%s, %+v) = %v, want %v", params, match, err, want)
		}
		if err == nil && created != match.Absent {
			f.Errorf("PutPreset(%s, %+v): created %v", params, match, created)
		}
		return p
	}
	put(`{"width":1}`, &store.PresetMatch{}, store.ErrState)
	put(`{"width":1}`, &store.PresetMatch{Version: 1, CreatedAt: f.Now()}, store.ErrState)
	first := put(`{"width":1}`, &store.PresetMatch{Absent: true}, nil)
	put(`{"width":1}`, &store.PresetMatch{Absent: true}, store.ErrState)
	second := put(`{"width":2}`, is(first), nil)
	if second.Version != 2 {
		f.Errorf("version after a match = %d, want 2", second.Version)
	}
	put(`{"width":3}`, is(first), store.ErrState)
	third := put(`{"width":3}`, &store.PresetMatch{}, nil)
	if err := f.Ledger.DeletePreset(f.ctx, f.tenant, "thumb", is(second)); !errors.Is(err, store.ErrState) {
		f.Errorf("DeletePreset of an older version = %v, want ErrState", err)
	}
	if diff := cmp.Diff(third, f.getPreset("thumb")); diff != "" {
		f.Errorf("after what was refused (-want +got):\n%s", diff)
	}
	f.must(f.Ledger.DeletePreset(f.ctx, f.tenant, "thumb", is(third)))
	if err := f.Ledger.DeletePreset(f.ctx, f.tenant, "thumb", is(third)); !errors.Is(err, store.ErrState) {
		f.Errorf("DeletePreset of what is gone = %v, want ErrState", err)
	}
	for f.putPreset(f.preset("thumb", `{"width":1}`)).CreatedAt.Equal(first.CreatedAt) { // not in the same millisecond
		f.must(f.Ledger.DeletePreset(f.ctx, f.tenant, "thumb", nil))
	}
	put(`{"width":4}`, is(first), store.ErrState) // version 1 again, and another preset
}

// Changes that race each make one version, and of those with a match one wins.
func testPresetRace(f *fixture) {
	const racers = 8
	first := f.putPreset(f.preset("thumb", `{"width":1}`))
	var won atomic.Int64
	var all sync.WaitGroup
	for i := range racers {
		all.Go(func() {
			_, _, err := f.Ledger.PutPreset(f.ctx, f.preset("thumb", `{"height":`+string(rune('1'+i))+`}`), &store.PresetMatch{Version: 1, CreatedAt: first.CreatedAt})
			if err == nil {
				won.Add(1)
			} else if !errors.Is(err, store.ErrState) {
				f.Errorf("PutPreset: %v", err)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 || f.getPreset("thumb").Version != 2 {
		f.Errorf("%d changes of version 1 won, version %d, want one and 2", won.Load(), f.getPreset("thumb").Version)
	}
	for i := range racers {
		all.Go(func() {
			if _, _, err := f.Ledger.PutPreset(f.ctx, f.preset("thumb", `{"quality":`+string(rune('1'+i))+`}`), nil); err != nil {
				f.Errorf("PutPreset: %v", err)
			}
		})
	}
	all.Wait()
	if got := f.getPreset("thumb").Version; got != 2+racers {
		f.Errorf("version after %d changes = %d, want %d", racers, got, 2+racers)
	}
}
