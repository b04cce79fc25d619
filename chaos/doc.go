// Package chaos breaks running servers and counts what it cost.
//
// Its tests start the real binaries in both arrangements, put them under a load of short and long jobs, and kill, freeze, cut off, fill and flush
// whatever they stand on, at random and at the moments that internal/fault names. Afterwards every promise is held against the ledger: nothing lost,
// nothing done twice, no attempt spent by a fault. `make chaos` is the long run; a short one, with a fixed plan, is among the ordinary tests.
//
// It drives the product from outside only. It does not measure speed.
package chaos
