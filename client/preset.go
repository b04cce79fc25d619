package client

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"
)

// PresetSpec is what a preset stands for.
type PresetSpec struct {
	Type   string          `json:"type"`
	Params json.RawMessage `json:"params"` // what they leave out is left to the job and to the type's defaults
}

// Preset is a preset as the server answers it. A job uses it by its name, as "preset" among its params.
type Preset struct {
	Name      string          `json:"name"`
	Type      string          `json:"type"`
	Params    json.RawMessage `json:"params"`
	Version   int64           `json:"version"` // 1, and one more for each change
	CreatedAt time.Time       `json:"created_at"`
	UpdatedAt time.Time       `json:"updated_at"`
}

// PutPreset creates a preset, or replaces the one of that name. It may be repeated: what is there already keeps its version.
func (c *Client) PutPreset(ctx context.Context, name string, spec PresetSpec) (Preset, error) {
	var p Preset
	body, err := json.Marshal(spec)
	if err != nil {
		return p, err
	}
	err = c.send(ctx, http.MethodPut, presetPath(name), "application/json", bytes.NewReader(body), &p)
	return p, err
}

// Preset reads a preset.
func (c *Client) Preset(ctx context.Context, name string) (Preset, error) {
	var p Preset
	err := c.send(ctx, http.MethodGet, presetPath(name), "", nil, &p)
	return p, err
}

// DeletePreset removes a preset. Jobs keep what they took from it.
func (c *Client) DeletePreset(ctx context.Context, name string) error {
	return c.send(ctx, http.MethodDelete, presetPath(name), "", nil, nil)
}

func presetPath(name string) string { return "/v1/presets/" + url.PathEscape(name) }
