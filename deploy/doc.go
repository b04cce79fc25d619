// Package deploy holds the configuration of what stands around Millrace in production, and tests that it fits the binaries. It has no code to import.
package deploy
