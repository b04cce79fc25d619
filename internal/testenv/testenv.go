// Package testenv gives tests the real servers they need: a Redis of their own, an empty PostgreSQL database.
//
// Servers run on this machine's binaries, on loopback or a unix socket, and end with the test binary however that ends: each is the child of a
// small shell that waits for the end of a pipe only the test binary holds. Not for production code; nothing but tests imports this package.
package testenv

import (
	"os"
	"testing"
)

// missing ends a test whose service cannot be had: skipped on a developer's machine, failed where MILLRACE_TEST_REQUIRE=1 says that it must run.
func missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("MILLRACE_TEST_REQUIRE") == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
