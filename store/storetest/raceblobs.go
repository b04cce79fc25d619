package storetest

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
)

// blobRaceTests let those meet who refer to bytes and the collector. Bytes that are referred to are there, and bytes that are gone nobody gets.
func blobRaceTests() []test {
	return []test{
		{"many uploads of the same bytes and the collector", raceUploadsCollect},
		{"an output that shares a blob and the collector", raceFinishCollect},
		{"a cached job and its source's end", raceCachedDelete},
		{"a cached job and the expiry of its source", raceCachedExpiry},
		{"a file's end and a new one on its blob", raceDeleteCreate},
	}
}

// collect marks, removes and forgets, as the upkeep does, and answers what it took. It may run in goroutines.
func (f *fixture) collect(grace time.Duration) map[string]bool {
	taken := map[string]bool{}
	keys, err := f.Ledger.DyingBlobs(f.ctx, grace, 100)
	if err != nil {
		f.Errorf("DyingBlobs: %v", err)
	}
	for _, key := range keys {
		taken[key] = true
		if err := f.Ledger.ForgetBlob(f.ctx, key); err != nil {
			f.Errorf("ForgetBlob: %v", err)
		}
	}
	return taken
}

// raceUploadsCollect: each upload takes the blob or publishes its own copy; afterwards every file's blob is known.
func raceUploadsCollect(f *fixture) {
	for range rounds / 2 {
		in := f.file()
		f.must(f.Ledger.DeleteFile(f.ctx, f.tenant, in.ID))
		f.Age(f, 2*time.Hour)
		uploads := make([]millrace.File, 4)
		var shared atomic.Int32
		var collected map[string]bool
		fs := []func(){func() { collected = f.collect(time.Hour) }}
		for i := range uploads {
			uploads[i] = f.newFile()
			uploads[i].SHA256 = in.SHA256
			fs = append(fs, func() {
				key, ok, err := f.Ledger.TakeBlob(f.ctx, f.tenant, in.SHA256)
				if err != nil {
					f.Errorf("TakeBlob: %v", err)
				}
				if ok {
					shared.Add(1)
					uploads[i].Blob = key
				}
				if err := f.Ledger.CreateFile(f.ctx, uploads[i], nil); err != nil {
					f.Errorf("CreateFile: %v", err)
				}
			})
		}
		together(fs...)
		for _, file := range uploads {
			if collected[file.Blob] {
				f.Fatalf("blob %s was collected, and a file refers to it", file.Blob)
			}
			f.wantKnown(file.Blob, true)
		}
		f.wantKnown(in.Blob, !collected[in.Blob])
		for _, file := range uploads {
			f.must(f.Ledger.DeleteFile(f.ctx, f.tenant, file.ID))
		}
		f.Age(f, 2*time.Hour)
		f.collect(time.Hour)
	}
}

// raceFinishCollect: an outcome that refers to a blob without having taken it wins or hears that the bytes are being collected.
func raceFinishCollect(f *fixture) {
	w := f.worker()
	for range rounds / 2 {
		in := f.file()
		f.must(f.Ledger.DeleteFile(f.ctx, f.tenant, in.ID))
		f.Age(f, 2*time.Hour)
		_, err := f.Worker.Beat(f.ctx, store.Beat{Worker: w})
		f.must(err)
		j := f.running(w)
		o := f.outcome(j, store.OutcomeSucceeded)
		out := f.output("same.txt")
		out.SHA256, out.Blob, out.Size = in.SHA256, in.Blob, in.Size
		o.Outputs = []store.NewOutput{out}
		var won []bool
		var marked []string
		together(func() {
			won, err = f.Worker.Finish(f.ctx, []store.Outcome{o})
		}, func() {
			var err error
			if marked, err = f.Ledger.DyingBlobs(f.ctx, time.Hour, 100); err != nil {
				f.Errorf("DyingBlobs: %v", err)
			}
		})
		switch {
		case errors.Is(err, store.ErrStaleResult):
			if len(marked) != 1 {
				f.Fatalf("Finish = %v, and dying are %v", err, marked)
			}
			f.wantState(j.ID, millrace.Running)
			f.must(f.Ledger.ForgetBlob(f.ctx, in.Blob))
			f.end(j, store.OutcomeSucceeded, outputs(f.output("anew.txt")))
		case err != nil || !won[0]:
			f.Fatalf("Finish = %v, %v", won, err)
		default:
			if len(marked) != 0 {
				f.Fatalf("the outcome won, and dying are %v", marked)
			}
			f.wantKnown(in.Blob, true)
			f.must(f.Ledger.DeleteFile(f.ctx, f.tenant, out.File))
			f.Age(f, 2*time.Hour)
			f.collect(time.Hour)
		}
	}
}

// raceCached lets a hit of the result cache meet what takes its source away.
func (f *fixture) raceCached(remove func(source *millrace.Job) error) {
	f.Helper()
	for range rounds / 2 {
		source, out := f.computed()
		f.Age(f, 80*time.Hour) // over its retention
		hit := f.hit(source)
		var inserted, removed error
		var collected map[string]bool
		together(func() { inserted = f.Ledger.Insert(f.ctx, []store.NewJob{hit})[0] }, func() {
			removed = remove(source)
			collected = f.collect(time.Hour)
		})
		f.must(removed)
		if errors.Is(inserted, store.ErrStaleResult) {
			f.wantGone(hit.ID)
			continue
		}
		f.must(inserted)
		if collected[out.Blob] {
			f.Fatal("the cached job was accepted, and its output's bytes were collected")
		}
		f.wantKnown(out.Blob, true)
		file, err := f.Ledger.File(f.ctx, f.tenant, hit.Outputs[0].File)
		if err != nil || file.Blob != out.Blob {
			f.Fatalf("file of the cached job = %+v, %v", file, err)
		}
	}
}

func raceCachedDelete(f *fixture) {
	f.raceCached(func(source *millrace.Job) error { return f.Ledger.Delete(f.ctx, f.tenant, source.ID) })
}

func raceCachedExpiry(f *fixture) {
	f.raceCached(func(*millrace.Job) error {
		_, err := f.Ledger.ExpireJobs(f.ctx, 100)
		return err
	})
}

// raceDeleteCreate: the last file of a blob goes while another upload has taken it.
func raceDeleteCreate(f *fixture) {
	for range rounds / 2 {
		in := f.file()
		f.Age(f, 2*time.Hour)
		again := f.newFile()
		again.SHA256 = in.SHA256
		var collected map[string]bool
		together(func() {
			key, ok, err := f.Ledger.TakeBlob(f.ctx, f.tenant, in.SHA256)
			if err != nil {
				f.Errorf("TakeBlob: %v", err)
			}
			if ok {
				again.Blob = key
			}
			if err := f.Ledger.CreateFile(f.ctx, again, nil); err != nil {
				f.Errorf("CreateFile: %v", err)
			}
		}, func() {
			if err := f.Ledger.DeleteFile(f.ctx, f.tenant, in.ID); err != nil {
				f.Errorf("DeleteFile: %v", err)
			}
			collected = f.collect(time.Hour)
		})
		if collected[again.Blob] {
			f.Fatalf("blob %s was collected, and a file refers to it", again.Blob)
		}
		f.wantKnown(again.Blob, true)
		f.must(f.Ledger.DeleteFile(f.ctx, f.tenant, again.ID))
		f.Age(f, 2*time.Hour)
		f.collect(time.Hour)
	}
}
