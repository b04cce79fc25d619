package scheduler_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/scheduler"
	"github.com/millrace/millrace/internal/testrig"
	"github.com/millrace/millrace/store/blob"
)

func TestQueueFollowsPauses(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	follows := func(want ...string) {
		t.Helper()
		testrig.Eventually(t, "the queue to follow", func() bool {
			got, err := f.Queue.Paused(t.Context())
			f.must(err)
			return slices.Equal(got, want)
		})
	}
	f.must(f.Queue.Pause(t.Context(), "io.low", true)) // by hand: the ledger knows nothing of it
	f.lead()
	follows()
	f.must(f.Ledger.PauseQueue(t.Context(), "cpu.normal", true))
	follows("cpu.normal")
	f.must(f.Redis.FlushAll(t.Context()).Err())
	follows("cpu.normal")
	f.must(f.Ledger.PauseQueue(t.Context(), "cpu.normal", false))
	follows()
}

func TestOverdueJobsFail(t *testing.T) {
	t.Parallel()
	f, later, _ := aged(t)
	soon := f.submit(func(j *millrace.Job) { j.Deadline = time.Now().Add(time.Minute) })
	never := f.submit()
	leader := f.leader()
	f.must(leader.Do(t.Context(), "fail overdue jobs"))
	if state := f.Job(soon.ID).State; state != millrace.Queued {
		t.Errorf("before its deadline the job is %s", state)
	}
	later(2 * time.Minute)
	f.must(leader.Do(t.Context(), "fail overdue jobs"))
	if j := f.Job(soon.ID); j.State != millrace.Failed || j.Error == nil || j.Error.Code != millrace.CodeTimeout {
		t.Errorf("past its deadline the job is %s, %+v", j.State, j.Error)
	}
	if state := f.Job(never.ID).State; state != millrace.Queued {
		t.Errorf("a job without a deadline is %s", state)
	}
}

func TestNothingIsRemovedWhileTheGateIsHeld(t *testing.T) {
	t.Parallel()
	f, later, dir := aged(t)
	loose := f.File("loose.bin", []byte("loose"))
	f.must(f.Ledger.DeleteFile(t.Context(), millrace.DefaultTenant, loose.ID))
	orphan := f.publish("orphan")
	age(t, dir)
	later(2 * time.Hour)
	gate := new(scheduler.Gate)
	leader := f.leader(func(c *scheduler.Config) { c.Gate = gate })
	remove := func() {
		f.must(leader.Do(t.Context(), "collect blobs"))
		f.must(leader.Do(t.Context(), "sweep temporary bytes"))
		f.must(leader.Do(t.Context(), "sweep the blob store"))
	}
	first, err := gate.Hold(t.Context())
	f.must(err)
	second, err := gate.Hold(t.Context())
	f.must(err)
	remove()
	first()
	first() // once more is no release of the other
	remove()
	if !f.stored(loose.Blob) || !f.stored(orphan) {
		t.Error("bytes were removed while the gate was held")
	}
	second()
	remove()
	if f.stored(loose.Blob) || f.stored(orphan) {
		t.Error("bytes are still there after the gate was released")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := gate.Hold(ended); err == nil {
		t.Error("a caller that is gone holds the gate")
	}
}

// nearlyFull is a blob store on a disk with little room.
type nearlyFull struct {
	blob.Store
	free int64
}

func (s nearlyFull) Free(context.Context) (int64, error) { return s.free, nil }

func TestDeletedBytesMakeRoomSoonOnAFullDisk(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		free int64
		gone bool
	}{{"room", 1 << 40, false}, {"unknown", -1, false}, {"nearly full", 1 << 20, true}, {"full", 0, true}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f, later, _ := aged(t)
			loose := f.File("loose.bin", []byte("loose"))
			f.must(f.Ledger.DeleteFile(t.Context(), millrace.DefaultTenant, loose.ID))
			leader := f.leader(func(c *scheduler.Config) { c.Blobs = nearlyFull{c.Blobs, tt.free} })
			f.must(leader.Do(t.Context(), "collect blobs"))
			if !f.stored(loose.Blob) {
				t.Fatal("a blob that somebody may be about to refer to was removed")
			}
			later(10 * time.Minute)
			f.must(leader.Do(t.Context(), "collect blobs"))
			if gone := !f.stored(loose.Blob); gone != tt.gone {
				t.Errorf("gone after ten minutes: %v, want %v", gone, tt.gone)
			}
		})
	}
}
