package store

import (
	"context"
	"time"

	"github.com/millrace/millrace"
)

// Presets are named params. The ledger does not look into them.
type Presets interface {
	// PutPreset creates the preset or replaces its type and params, and answers it as it stands. What is put again as it is keeps its Version and
	// UpdatedAt. ErrState, and nothing is written, where match does not hold; a repetition of such a change may find the first one. match may be nil.
	PutPreset(ctx context.Context, p millrace.Preset, match *PresetMatch) (stored millrace.Preset, created bool, err error)
	// Preset reads one, or ErrNotFound.
	Preset(ctx context.Context, tenant, name string) (millrace.Preset, error)
	// ListPresets reads them by name, those after the given one.
	ListPresets(ctx context.Context, tenant, after string, limit int) ([]millrace.Preset, error)
	// DeletePreset removes one, or answers ErrNotFound; where match does not hold, ErrState. match may be nil.
	DeletePreset(ctx context.Context, tenant, name string, match *PresetMatch) error
}

// PresetMatch is what a caller believes of a preset that is to be changed: that there is none, or that there is one. The zero value says the latter.
type PresetMatch struct {
	Absent    bool
	Version   int64     // that it has; 0: any
	CreatedAt time.Time // beside Version, since a preset that was deleted and made again begins anew
}
