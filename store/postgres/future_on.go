//go:build nextschema

package postgres

import _ "embed"

//go:embed future/next.sql
var nextSchema string

// future are migrations of versions to come, which only builds for the upgrade tests have.
func future() []string { return append([]string{nextSchema}, afterNext()...) }
