//go:build !linux

package postgres

import "syscall"

// limitSilence: elsewhere the bounds of calls and the keepalives are all there is.
func limitSilence(string, string, syscall.RawConn) error { return nil }
