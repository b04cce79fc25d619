package rest

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/tasks"
)

// typeView is a task type as the API writes it.
type typeView struct {
	Type        string            `json:"type"`
	Title       string            `json:"title"`
	Description string            `json:"description"`
	Version     string            `json:"version"`
	Pool        millrace.Pool     `json:"pool"`
	Pure        bool              `json:"pure"` // equal params and input bytes give the earlier result
	MinInputs   int               `json:"min_inputs"`
	MaxInputs   int               `json:"max_inputs"`
	Schema      json.RawMessage   `json:"schema"` // JSON Schema 2020-12 of the params
	Examples    []json.RawMessage `json:"examples"`
	URL         string            `json:"url"`
	*engineView                   // of types that have a choice
}

// engineView is what does the work of a type, and on which formats.
type engineView struct {
	Engine  string  `json:"engine"`
	Formats formats `json:"formats"`
}

type formats struct {
	In  []string `json:"in"`
	Out []string `json:"out"`
}

func viewEngine(e tasks.Engine) *engineView {
	if e.Name == "" {
		return nil
	}
	return &engineView{Engine: e.Name, Formats: formats{In: orEmpty(e.Reads), Out: orEmpty(e.Writes)}}
}

// typeDocs are the answers about task types. They never change in a process, so they are encoded once.
type typeDocs struct {
	list   []byte
	byName map[string][]byte
}

func describeTypes(list tasks.List) (typeDocs, error) {
	d := typeDocs{byName: make(map[string][]byte)}
	all := page[typeView]{Items: []typeView{}}
	for _, t := range list.All() {
		v := typeView{
			Type: t.Name, Title: t.Title, Description: t.Description, Version: t.Version, Pool: t.Pool, Pure: t.Pure,
			MinInputs: t.MinInputs, MaxInputs: t.MaxInputs, Schema: t.Schema, Examples: orEmpty(t.Examples), URL: "/v1/task-types/" + t.Name,
			engineView: viewEngine(t.Engine),
		}
		doc, err := json.Marshal(v)
		if err != nil {
			return d, fmt.Errorf("describe task type %s: %w", t.Name, err)
		}
		d.byName[t.Name] = doc
		all.Items = append(all.Items, v)
	}
	var err error
	d.list, err = json.Marshal(all)
	return d, err
}

func (s *Server) listTypes(c echo.Context) error {
	return s.respondBytes(c, http.StatusOK, "application/json", s.types.list)
}

func (s *Server) getType(c echo.Context) error {
	doc, ok := s.types.byName[c.Param("type")]
	if !ok {
		return millrace.Errorf(millrace.NotFound, "there is no such task type; GET /v1/task-types lists them")
	}
	return s.respondBytes(c, http.StatusOK, "application/json", doc)
}
