// Package millrace holds the words that every part of Millrace shares: jobs, files, workers, states and errors.
//
// It imports the standard library only and knows nothing of HTTP, SQL, Redis or how work is done; those packages import this one.
package millrace

// DefaultTenant owns everything on a server that has no tenants configured.
const DefaultTenant = "default"
