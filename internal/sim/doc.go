// Package sim runs the whole dispatch of Millrace under a virtual clock and seeded faults: the real dispatcher, refill, asynq, workers, leaders and
// SQLite ledger, several processes of each, in one bubble of testing/synctest. It has no code but tests; docs/simulation.md says how to read it.
package sim
