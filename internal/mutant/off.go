//go:build !mutants

package mutant

// On says whether the rule was taken out.
func On(Rule) bool { return false }

// SQL is the statement without the rule that was taken out.
func SQL(statement string) string { return statement }
