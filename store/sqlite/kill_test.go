package sqlite_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/sqlite"
	"github.com/millrace/millrace/store/storetest"
)

// TestMain lets the test binary be the process that TestKilled kills.
func TestMain(m *testing.M) {
	if path := os.Getenv("SQLITE_TEST_VICTIM"); path != "" {
		fmt.Fprintln(os.Stderr, victim(path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// victim inserts and claims jobs from several goroutines and says each id once it has been told of both. It ends by an error or by being killed.
func victim(path string) error {
	l, err := sqlite.Open(context.Background(), sqlite.Config{Path: path})
	if err != nil {
		return err
	}
	if err := l.Register(context.Background(), millrace.Worker{ID: "victim"}); err != nil {
		return err
	}
	var mu sync.Mutex
	failed := make(chan error)
	for range 8 {
		go func() {
			for {
				j := newJob()
				err := l.Insert(context.Background(), []store.NewJob{{Job: j}})[0]
				if err == nil {
					_, err = l.Claim(context.Background(), "victim", []store.Delivery{{Job: j.ID, Fence: j.Fence}})
				}
				if err != nil {
					failed <- err
					return
				}
				mu.Lock()
				fmt.Println(j.ID)
				mu.Unlock()
			}
		}()
	}
	return <-failed
}

// TestKilled: whatever was acknowledged before the process was killed in the middle of work is there afterwards, the claims, which are not
// synced, included.
func TestKilled(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ledger.db")
	var acknowledged []string
	for round := range 3 {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), "SQLITE_TEST_VICTIM="+path)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			if n == 100 {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			if len(lines.Text()) == 36 { // the last line may have been cut
				acknowledged = append(acknowledged, lines.Text())
			}
		}
		_ = cmd.Wait() // killed: always an error
		if len(acknowledged) < 100*(round+1) {
			t.Fatalf("round %d: the process ended by itself after %d jobs", round, len(acknowledged))
		}
	}
	l := openAt(t, path, &clock{})
	for _, id := range acknowledged {
		j, err := l.Job(t.Context(), "t", id)
		if err != nil {
			t.Fatalf("acknowledged job %s: %v", id, err)
		}
		if j.State != millrace.Running || j.WorkerID != "victim" || j.Fence != 2 {
			t.Errorf("job whose claim was acknowledged = %+v, want it running", j)
		}
	}
	storetest.Check(t.Context(), t, l, "t")
}
