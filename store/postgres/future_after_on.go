//go:build nextschema && afternext

package postgres

import _ "embed"

//go:embed future/after.sql
var afterSchema string

func afterNext() []string { return []string{afterSchema} }
