//go:build nextschema && !afternext

package postgres

func afterNext() []string { return nil }
