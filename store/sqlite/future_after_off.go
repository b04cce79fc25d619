//go:build nextschema && !afternext

package sqlite

func afterNext() []string { return nil }
