//go:build !race

package sim_test

const defaultSeeds, defaultReplays = 200, 10
