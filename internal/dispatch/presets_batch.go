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
	added int   // bytes of params that were taken from presets
}

// maxAdded bounds what a batch takes from presets: a name of a few bytes may stand for 64 KiB, which cost time to check and memory until they are
// committed.
const maxAdded = 16 << 20

// preset finds one for a job of the batch.
func (b *presets) preset(ctx context.Context, tenant, name string) (*millrace.Preset, error) {
	p, ok := b.known[name]
	if !ok && b.lost == nil {
		if p, b.lost = b.find(ctx, tenant, name); b.known == nil {
			b.known = make(map[string]*millrace.Preset)
		}
		b.known[name] = p
	}
	if b.lost != nil || p == nil {
		return nil, b.lost
	}
	if b.added += len(p.Params); b.added > maxAdded {
		return nil, millrace.Errorf(millrace.TooLarge, "the jobs of this batch take more than %d bytes from presets; send this one and those after it in another", maxAdded)
	}
	return p, nil
}
