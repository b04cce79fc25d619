package sim_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/dispatch"
	"github.com/millrace/millrace/store"
)

// upload is a file that a client brings along for its job. It has little time: after that only the jobs that need it keep it.
type upload struct {
	bytes  int           // which; few, so that what one client lets go another brings again
	keep   time.Duration // until it expires
	remove time.Duration // after which the client deletes it, whatever has become of the job; 0: never
}

// uploads is how many different bytes clients bring. Some are those of files that came hours ago, which the collector takes away meanwhile, some
// those that jobs write.
const uploads = 6

func uploadBytes(number int) []byte {
	if number < uploads/2 {
		return outputBytes(number + 1)
	}
	return fmt.Appendf(nil, "chaff %d", number)
}

// newUpload answers nil for those who use what is there.
func newUpload(d dice) *upload {
	if !d.chance(0.4) {
		return nil
	}
	u := &upload{bytes: d.IntN(uploads), keep: d.between(200*time.Millisecond, 3*time.Second)}
	if d.chance(0.3) {
		u.remove = d.between(time.Millisecond, 2*time.Second)
	}
	return u
}

// input is the id of the file that the request's job works on, which its client uploads first if it has one of its own.
func (w *world) input(r request) string {
	if r.bring == nil {
		return w.files[r.file].ID
	}
	d := w.dice("upload", r.token)
	for calmly := 0; !w.tired(&calmly, r.token); {
		var id string
		a := w.ask(d, func(ctx context.Context, api *dispatch.Dispatcher) (*millrace.Job, error) {
			published, err := w.publish(ctx, api.Ledger.(*ledger), *r.bring)
			id = published
			return nil, err
		})
		w.trace.add("client", fmt.Sprintf("uploads bytes %d for %s: %s %s", r.bring.bytes, r.token, text(a.err), id))
		if a.err == nil {
			w.mu.Lock()
			w.brought[r.token] = id
			w.mu.Unlock()
			return id
		}
		time.Sleep(d.between(50*time.Millisecond, 500*time.Millisecond))
	}
	return w.files[r.file].ID
}

// publish is what an api does with an upload: bytes that the tenant has are not kept twice, the row comes last.
func (w *world) publish(ctx context.Context, l *ledger, u upload) (string, error) {
	data := uploadBytes(u.bytes)
	sum := sumOf(data)
	key, known, err := l.TakeBlob(ctx, tenant, sum)
	if err != nil {
		return "", err
	}
	if !known {
		out := &blobWriter{p: l.p, data: data}
		if key, err = out.Commit(ctx); err != nil {
			return "", err
		}
	}
	f := millrace.File{
		ID: w.id(), Tenant: tenant, Name: "chaff.txt", Size: int64(len(data)), SHA256: sum, Blob: key, ContentType: "text/plain",
		CreatedAt: w.now(), ExpiresAt: w.now().Add(u.keep),
	}
	return f.ID, l.CreateFile(ctx, f, nil)
}

// letGo deletes what the client brought, in a while. While a live job needs it that is refused.
func (w *world) letGo(r request) {
	w.mu.Lock()
	id := w.brought[r.token]
	w.mu.Unlock()
	if id == "" || r.bring.remove == 0 {
		return
	}
	w.later(r.bring.remove, func() {
		a := w.ask(w.dice("let go", r.token), func(ctx context.Context, api *dispatch.Dispatcher) (*millrace.Job, error) {
			return nil, api.Ledger.(*ledger).DeleteFile(ctx, tenant, id)
		})
		w.trace.add("client", "deletes the file of "+r.token+": "+text(a.err))
		if errors.Is(a.err, store.ErrInUse) {
			w.strike("deletion of a file that a job needs")
		}
	})
}

// tired says whether somebody should give up to ask: long after the last fault an answer must have come.
func (w *world) tired(calmly *int, token string) bool {
	if w.healed() {
		*calmly++
	}
	if *calmly > 60 {
		w.wrongly("I10: a client still does not hear what became of %s", token)
		return true
	}
	return false
}
