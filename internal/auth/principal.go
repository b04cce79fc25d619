package auth

import (
	"slices"
	"strings"
	"time"
)

// Scope is a right that a route asks for.
type Scope string

// The scopes. Admin implies the others.
const (
	JobsRead  Scope = "jobs:read"
	JobsWrite Scope = "jobs:write"
	Admin     Scope = "admin"
)

// Principal is whoever a request comes from.
type Principal struct {
	Tenant  string
	Subject string
	Scopes  []Scope
	Expires time.Time // of the credential; zero: never
}

// Has says whether the principal may do what needs scope.
func (p Principal) Has(scope Scope) bool {
	return slices.Contains(p.Scopes, scope) || slices.Contains(p.Scopes, Admin)
}

// parseScopes keeps the scopes that exist of a space-separated list: an unknown one grants nothing.
func parseScopes(list string) []Scope {
	var scopes []Scope
	for _, word := range strings.Fields(list) {
		switch s := Scope(word); s {
		case JobsRead, JobsWrite, Admin:
			if !slices.Contains(scopes, s) {
				scopes = append(scopes, s)
			}
		}
	}
	return scopes
}

func joinScopes(scopes []Scope) string {
	words := make([]string, 0, len(scopes))
	for _, s := range scopes {
		words = append(words, string(s))
	}
	return strings.Join(words, " ")
}
