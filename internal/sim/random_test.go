//go:build !exact

package sim_test

// seedRandom cannot reach the chance of the libraries: asynq shuffles its queues by the global source of math/rand. With the tag exact it can.
func seedRandom(uint64) (restore func()) { return func() {} }

const exact = false
