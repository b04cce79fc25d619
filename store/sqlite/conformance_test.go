package sqlite_test

import (
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/store/sqlite"
	"github.com/millrace/millrace/store/storetest"
)

// clock is a time.Now that a test can set forward.
type clock struct{ ahead atomic.Int64 }

func (c *clock) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *clock) Age(_ testing.TB, d time.Duration) { c.ahead.Add(int64(d)) }

// open makes a ledger in a directory of the test's own.
func open(t testing.TB, c *clock) *sqlite.Ledger {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "ledger.db"), c)
}

func openAt(t testing.TB, path string, c *clock) *sqlite.Ledger {
	t.Helper()
	l, err := sqlite.Open(t.Context(), sqlite.Config{Path: path, Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return l
}

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Backend {
		c := &clock{}
		return storetest.Backend{Ledger: open(t, c), Now: c.Now, Age: c.Age}
	})
}

func TestModel(t *testing.T) {
	t.Parallel()
	storetest.RunModel(t, func(t *testing.T) storetest.Backend {
		c := &clock{}
		return storetest.Backend{Ledger: open(t, c), Now: c.Now, Age: c.Age}
	})
}
