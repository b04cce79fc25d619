package rest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/dispatch"
	"github.com/millrace/millrace/internal/strict"
	"github.com/millrace/millrace/store"
)

// presetRequest is the body of PUT /v1/presets/{name}.
type presetRequest struct {
	Type   string          `json:"type"`
	Params json.RawMessage `json:"params"` // checked by the type
}

// Shape implements strict.Shaped.
func (*presetRequest) Shape() strict.Shape { return strict.Shape{"type": nil, "params": nil} }

// presetView is a preset as the API writes it.
type presetView struct {
	Name      string          `json:"name"`
	Type      string          `json:"type"`
	Params    json.RawMessage `json:"params"` // as they were given
	Version   int64           `json:"version"`
	CreatedAt stamp           `json:"created_at"`
	UpdatedAt stamp           `json:"updated_at"`
	URL       string          `json:"url"`
}

func viewPreset(p millrace.Preset) presetView {
	return presetView{Name: p.Name, Type: p.Type, Params: p.Params, Version: p.Version,
		CreatedAt: stamp(p.CreatedAt), UpdatedAt: stamp(p.UpdatedAt), URL: presetURL(p.Name)}
}

func presetURL(name string) string { return "/v1/presets/" + name }

// presetTag names a version of a preset. The time tells it from that of an earlier preset of the same name.
func presetTag(p millrace.Preset) string {
	return fmt.Sprintf(`"%d-%s"`, p.Version, strconv.FormatInt(p.CreatedAt.UnixMilli(), 36))
}

// presetMatch reads what a change asks to be true: If-Match with a tag that was answered or *, If-None-Match with *. nil: nothing.
func presetMatch(h http.Header) (*store.PresetMatch, error) {
	is, isNot := h.Get("If-Match"), h.Get("If-None-Match")
	switch {
	case is == "" && isNot == "":
		return nil, nil
	case is == "" && isNot == "*":
		return &store.PresetMatch{Absent: true}, nil
	case is == "*" && isNot == "":
		return &store.PresetMatch{}, nil
	case isNot == "" && strings.HasSuffix(is, `"`) && !strings.Contains(is, ","):
		version, created, _ := strings.Cut(strings.Trim(is, `"`), "-")
		n, err := strconv.ParseInt(version, 10, 64)
		ms, errTime := strconv.ParseInt(created, 36, 64)
		if err == nil && errTime == nil && n > 0 {
			return &store.PresetMatch{Version: n, CreatedAt: time.UnixMilli(ms).UTC()}, nil
		}
		return nil, millrace.Errorf(millrace.Changed, "If-Match has no ETag of this preset; read it again") // a weak one never matches
	}
	return nil, millrace.Errorf(millrace.Malformed, "If-Match takes one ETag as it was answered, or *; If-None-Match takes *; and only one of them can stand in a request")
}

func (s *Server) listPresets(c echo.Context) error {
	limit, err := queryLimit(c)
	if err != nil {
		return err
	}
	after := ""
	if v := c.QueryParam("cursor"); v != "" {
		var ok bool
		if after, ok = decodeNameCursor(v); !ok {
			return badQuery("cursor", "must be the next_cursor of an earlier answer")
		}
	}
	all, err := s.Ledger.ListPresets(c.Request().Context(), tenant(c), after, limit+1)
	if err != nil {
		return fromLedger(err)
	}
	p := page[presetView]{Items: make([]presetView, 0, min(len(all), limit))}
	for _, preset := range all[:min(len(all), limit)] {
		p.Items = append(p.Items, viewPreset(preset))
	}
	if len(all) > limit {
		cursor := encodeNameCursor(all[limit-1].Name)
		p.NextCursor = &cursor
	}
	return respond(s, c, http.StatusOK, p)
}

// getPreset reads the ledger, so that what it answers is never older than what it is asked to replace.
func (s *Server) getPreset(c echo.Context) error {
	name := c.Param("name")
	if !dispatch.ValidPresetName(name) {
		return errNoSuch
	}
	preset, err := s.Ledger.Preset(c.Request().Context(), tenant(c), name)
	if err != nil {
		return fromLedger(err)
	}
	return s.respondPreset(c, http.StatusOK, preset)
}

func (s *Server) respondPreset(c echo.Context, status int, p millrace.Preset) error {
	c.Response().Header().Set("ETag", presetTag(p))
	return respond(s, c, status, viewPreset(p))
}

// putPreset creates a preset or replaces it whole. Its params are checked now, so that a mistake shows to whoever makes it.
func (s *Server) putPreset(c echo.Context) error {
	name := c.Param("name")
	if !dispatch.ValidPresetName(name) {
		return millrace.InvalidField("/name", "must have 1 to %d of A-Z a-z 0-9 . _ -", dispatch.MaxPresetName)
	}
	match, err := presetMatch(c.Request().Header)
	if err != nil {
		return err
	}
	var req presetRequest
	if err := decode(s, c, &req); err != nil {
		return err
	}
	preset, err := req.preset()
	if err != nil {
		return err
	}
	preset.Tenant, preset.Name = tenant(c), name
	stored, created, err := s.Dispatcher.PutPreset(c.Request().Context(), preset, match)
	if err != nil {
		return fromLedger(err)
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
		c.Response().Header().Set("Location", presetURL(name))
	}
	return s.respondPreset(c, status, stored)
}

// preset reads the request. Params keep their text but for its spaces: equal ones make no new version.
func (r *presetRequest) preset() (millrace.Preset, error) {
	var f strict.Fields
	f.Check(r.Type != "", "/type", "is required")
	f.Check(len(r.Params) > 0, "/params", "is required")
	if err := f.Err(); err != nil {
		return millrace.Preset{}, err
	}
	var params bytes.Buffer
	if err := json.Compact(&params, r.Params); err != nil {
		return millrace.Preset{}, fmt.Errorf("compact params that were decoded: %w", err)
	}
	return millrace.Preset{Type: r.Type, Params: params.Bytes()}, nil
}

func (s *Server) deletePreset(c echo.Context) error {
	name := c.Param("name")
	if !dispatch.ValidPresetName(name) {
		return errNoSuch
	}
	match, err := presetMatch(c.Request().Header)
	if err != nil {
		return err
	}
	if err := s.Dispatcher.DeletePreset(c.Request().Context(), tenant(c), name, match); err != nil {
		return fromLedger(err)
	}
	return noContent(c)
}
