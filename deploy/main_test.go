package deploy_test

import (
	"os"
	"sync/atomic"
	"testing"
)

// built is the directory of binaries that this run has made, if any.
var built atomic.Pointer[string]

func TestMain(m *testing.M) {
	code := m.Run()
	if dir := built.Load(); dir != nil {
		os.RemoveAll(*dir)
	}
	os.Exit(code)
}
