package dispatch

import (
	"context"

	"github.com/millrace/millrace"
)

// presets are those that a batch has met: each is read once, so that all jobs of one request take the same version of it.
type presets struct {
	find  findPreset
	known map[string]*millrace.Preset
	lost  error // why one could not be read: the whole batch is to be sent again
	added int   // bytes of params beyond those that the request brought
}

// maxAdded bounds what defaults and presets add to the params of a batch: a name of a few bytes may stand for 64 KiB, and ten thousand of them are held
// at once.
const maxAdded = 32 << 20

// preset finds one for a job of the batch.
func (b *presets) preset(ctx context.Context, tenant, name string) (*millrace.Preset, error) {
	if p, ok := b.known[name]; ok || b.lost != nil {
		return p, b.lost
	}
	p, err := b.find(ctx, tenant, name)
	if err != nil {
		b.lost = err
		return nil, err
	}
	if b.known == nil {
		b.known = make(map[string]*millrace.Preset)
	}
	b.known[name] = p
	return p, nil
}

// grow counts what a job's params have beyond what was sent.
func (b *presets) grow(n int) error {
	if n > 0 {
		b.added += n
	}
	if b.added <= maxAdded {
		return nil
	}
	return millrace.Errorf(millrace.TooLarge, "presets add more than %d bytes of params to this batch; send this job and those after it in another one", maxAdded)
}
