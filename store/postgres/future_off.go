//go:build !nextschema

package postgres

// future are migrations of versions to come, which only builds for the upgrade tests have.
func future() []string { return nil }
