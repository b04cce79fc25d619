//go:build race

package sim_test

// The race detector makes the translated SQLite ten times slower.
const defaultSeeds, defaultReplays = 8, 1
