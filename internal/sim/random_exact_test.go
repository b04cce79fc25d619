//go:build exact

package sim_test

import (
	"math/rand/v2"
	_ "unsafe" // for the name of the global source
)

// globalRandom is the source behind the functions of math/rand/v2. To name it needs go test -ldflags=-checklinkname=0.
//
//go:linkname globalRandom math/rand/v2.globalRand
var globalRandom *rand.Rand

// seedRandom makes the chance of the libraries the seed's, too.
func seedRandom(seed uint64) (restore func()) {
	before := globalRandom
	globalRandom = rand.New(rand.NewPCG(seed, 1))
	return func() { globalRandom = before }
}

const exact = true
