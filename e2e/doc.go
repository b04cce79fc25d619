// Package e2e drives the built binaries from outside, in both modes: embedded (millrace serve) and production (api, worker and scheduler on a
// real Redis and a real PostgreSQL). It holds tests only.
package e2e
