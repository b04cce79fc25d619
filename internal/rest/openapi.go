package rest

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/millrace/millrace/tasks"
)

// openapiSchemas are the components by hand; what a route answers is in openapi_operations.go, and the rest follows from the route table.
//
//go:embed openapi_schemas.json
var openapiSchemas []byte

// object is a JSON object of the document.
type object map[string]any

func (s *Server) getOpenAPI(c echo.Context) error {
	return s.respondBytes(c, http.StatusOK, "application/json", s.openapi)
}

// describe makes the OpenAPI 3.1 document of the route table. A route without a description is an error, so that none is forgotten.
func describe(routes []route, c Config) ([]byte, error) {
	var components object
	if err := json.Unmarshal(openapiSchemas, &components); err != nil {
		return nil, fmt.Errorf("openapi_schemas.json: %w", err)
	}
	if err := addTypes(components, c.Types); err != nil {
		return nil, err
	}
	components["securitySchemes"] = object{
		"bearer":  object{"type": "http", "scheme": "bearer", "description": "An API key, or a JWT signed with HS256."},
		"session": object{"type": "apiKey", "in": "cookie", "name": "millrace", "description": "Set by POST /v1/session (__Host-millrace over TLS)."},
	}
	known := operations(c.Types)
	paths := object{}
	for _, r := range routes {
		if !documented(r) {
			continue
		}
		op, err := operationOf(r, known)
		if err != nil {
			return nil, err
		}
		path := openapiPath(r.pattern)
		item, ok := paths[path].(object)
		if !ok {
			item = object{}
			paths[path] = item
		}
		item[strings.ToLower(r.method)] = op
	}
	return json.Marshal(object{
		"openapi": "3.1.0",
		"info": object{
			"title": "Millrace", "version": version(c),
			"description": "Jobs over files: upload, submit, watch, fetch. Errors are problem documents (RFC 9457), times RFC 3339 in UTC with " +
				"milliseconds, durations Go strings such as 1m30s, sizes bytes. Unknown fields and query parameters are refused.",
			"license": object{"name": "Apache-2.0", "identifier": "Apache-2.0"},
		},
		"servers":    []object{{"url": "/"}},
		"security":   []object{{"bearer": []string{}}, {"session": []string{}}},
		"paths":      paths,
		"components": components,
	})
}

func version(c Config) string {
	if c.Version == "" {
		return "development"
	}
	return c.Version
}

// documented says whether a route is part of the API: pages and the dashboard are for people.
func documented(r route) bool {
	return strings.HasPrefix(r.pattern, "/v1/") || r.pattern == "/livez" || r.pattern == "/readyz" || r.pattern == "/metrics" ||
		r.pattern == "/openapi.json"
}

// openapiPath writes /v1/files/:id as /v1/files/{id}.
func openapiPath(pattern string) string {
	parts := strings.Split(pattern, "/")
	for i, part := range parts {
		if name, ok := strings.CutPrefix(part, ":"); ok {
			parts[i] = "{" + name + "}"
		}
	}
	return strings.Join(parts, "/")
}

func operationOf(r route, known map[string]operation) (object, error) {
	op, ok := known[r.method+" "+r.pattern]
	if r.later {
		op, ok = laterOperation(), true
	}
	if !ok {
		return nil, fmt.Errorf("openapi: %s %s is not described", r.method, r.pattern)
	}
	doc := object{"summary": op.summary, "operationId": operationID(r), "tags": []string{tagOf(r)}, "responses": op.answers(r)}
	if op.description != "" {
		doc["description"] = op.description
	}
	params := parametersOf(r)
	if op.keyed {
		params = append(params, object{"$ref": "#/components/parameters/idempotencyKey"})
	}
	for _, name := range op.matched {
		params = append(params, object{"$ref": "#/components/parameters/" + name})
	}
	if len(params) > 0 {
		doc["parameters"] = params
	}
	if op.body != nil {
		doc["requestBody"] = object{"required": !op.bodyOptional, "content": op.body}
	}
	if r.scope == open {
		doc["security"] = []object{}
	} else {
		doc["x-scope"] = string(r.scope)
	}
	return doc, nil
}

func parametersOf(r route) []object {
	var params []object
	for _, part := range strings.Split(r.pattern, "/") {
		if name, ok := strings.CutPrefix(part, ":"); ok {
			params = append(params, object{"name": name, "in": "path", "required": true, "schema": object{"type": "string"}})
		}
	}
	for _, name := range r.query {
		params = append(params, object{"$ref": "#/components/parameters/" + name})
	}
	return params
}

// operationID is the method and the words of the path: getJobsById.
func operationID(r route) string {
	var b strings.Builder
	b.WriteString(strings.ToLower(r.method))
	for _, part := range strings.FieldsFunc(strings.TrimPrefix(r.pattern, "/v1"), func(c rune) bool { return c == '/' || c == '-' || c == '.' }) {
		if name, ok := strings.CutPrefix(part, ":"); ok {
			part = "by" + strings.ToUpper(name[:1]) + name[1:]
		}
		b.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return b.String()
}

func tagOf(r route) string {
	if rest, ok := strings.CutPrefix(r.pattern, "/v1/"); ok {
		word, _, _ := strings.Cut(rest, "/")
		return word
	}
	return "server"
}

// addTypes puts each task type's params into the components and ties them to the request's type.
func addTypes(components object, list tasks.List) error {
	schemas, ok := components["schemas"].(map[string]any)
	if !ok {
		return fmt.Errorf("openapi_schemas.json has no schemas")
	}
	request, ok := schemas["JobRequest"].(map[string]any)
	if !ok {
		return fmt.Errorf("openapi_schemas.json has no JobRequest")
	}
	var choices []object
	for _, t := range list.All() {
		name := "Params." + t.Name
		schemas[name] = t.Schema
		choices = append(choices, object{
			"if":   object{"properties": object{"type": object{"const": t.Name}}},
			"then": object{"properties": object{"params": object{"$ref": "#/components/schemas/" + name}}},
		})
	}
	if len(choices) > 0 {
		request["allOf"] = choices
		request["properties"].(map[string]any)["type"] = object{"enum": list.Names(), "description": "GET /v1/task-types describes them."}
	}
	return nil
}
