package postgres_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/store"
	"github.com/millrace/millrace/store/postgres"
)

// failJobs makes the database refuse the first n writes to jobs with a SQLSTATE of its own.
func failJobs(t *testing.T, dsn, state string, n int) {
	t.Helper()
	conn := connect(t, dsn)
	exec(t, conn, "CREATE SEQUENCE attempts_made") // a sequence keeps counting through a rollback
	exec(t, conn, fmt.Sprintf(`CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF nextval('attempts_made') <= %d THEN RAISE EXCEPTION 'injected' USING ERRCODE = '%s'; END IF;
		RETURN NEW; END $$`, n, state))
	exec(t, conn, "CREATE TRIGGER fail BEFORE INSERT OR UPDATE ON jobs FOR EACH STATEMENT EXECUTE FUNCTION fail()")
}

func get(t *testing.T, l *postgres.Ledger, id string) *millrace.Job {
	t.Helper()
	j, err := l.Job(t.Context(), millrace.DefaultTenant, id)
	if err != nil {
		t.Fatalf("Job(%s): %v", id, err)
	}
	return j
}

func TestDiskFull(t *testing.T) {
	t.Parallel()
	dsn := testenv.Postgres(t)
	l := open(t, dsn)
	failJobs(t, dsn, "53100", 1)
	j := newJob()
	if err := l.Insert(t.Context(), []store.NewJob{{Job: j}})[0]; !errors.Is(err, store.ErrFull) {
		t.Errorf("Insert on a full disk = %v, want ErrFull", err)
	}
	if err := l.Insert(t.Context(), []store.NewJob{{Job: j}})[0]; err != nil {
		t.Errorf("Insert when there is room again: %v", err)
	}
}

func TestDeadlockIsTriedAgain(t *testing.T) {
	t.Parallel()
	for _, state := range []string{"40P01", "40001"} {
		dsn := testenv.Postgres(t)
		l := open(t, dsn)
		failJobs(t, dsn, state, 3)
		if err := l.Insert(t.Context(), []store.NewJob{{Job: newJob()}})[0]; err != nil {
			t.Errorf("Insert through %s: %v", state, err)
		}
	}
}

// TestInsertBadData: values that the database cannot hold cost their own job only.
func TestInsertBadData(t *testing.T) {
	t.Parallel()
	l := open(t, testenv.Postgres(t))
	var rows []store.NewJob
	for i := range 9 {
		j := newJob()
		switch i {
		case 2:
			j.Tags = []string{"nul\x00"}
		case 3:
			j.Metadata = json.RawMessage("{\"a\":\"\xff\"}")
		case 7:
			j.Params = json.RawMessage(`{`)
		case 8:
			j.ID = "no id"
		}
		rows = append(rows, store.NewJob{Job: j})
	}
	for i, err := range l.Insert(t.Context(), rows) {
		bad := i == 2 || i == 3 || i == 7 || i == 8
		if (err != nil) != bad {
			t.Errorf("Insert of job %d = %v, want an error: %v", i, err, bad)
		}
		if !bad {
			get(t, l, rows[i].ID)
		}
	}
}

// TestFinishBadData: an outcome that the database cannot hold must not keep its job running, nor stand in its neighbours' way.
func TestFinishBadData(t *testing.T) {
	t.Parallel()
	l := open(t, testenv.Postgres(t))
	outcomes := claim(t, l, newWorker(t, l), insert(t, l, 5))
	outcomes[1].Result = json.RawMessage(`{"half":`)
	outcomes[3].Kind, outcomes[3].Attempt = store.OutcomeFailed, millrace.AttemptError
	outcomes[3].Error = &millrace.JobError{Code: millrace.CodeCorrupt, Message: "bytes \x00 and \xff in a message"}
	won, err := l.Finish(t.Context(), outcomes)
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range outcomes {
		want := millrace.Succeeded
		if i == 1 || i == 3 {
			want = millrace.Failed
		}
		if j := get(t, l, o.Job); j.State != want || won[i] != (i != 1) {
			t.Errorf("outcome %d: state %s, won %v, want %s, %v", i, j.State, won[i], want, i != 1)
		}
	}
	if e := get(t, l, outcomes[1].Job).Error; e == nil || e.Code != millrace.CodeInternal {
		t.Errorf("error of the job whose result is no JSON = %+v", e)
	}
	if e := get(t, l, outcomes[3].Job).Error; e == nil || !strings.HasPrefix(e.Message, "bytes ") {
		t.Errorf("error with odd bytes = %+v", e)
	}
}

// TestFinishDyingNeighbour: a blob that is being collected costs its own outcome only.
func TestFinishDyingNeighbour(t *testing.T) {
	t.Parallel()
	l := open(t, testenv.Postgres(t))
	outcomes := claim(t, l, newWorker(t, l), insert(t, l, 5))
	for i := range outcomes {
		outcomes[i].Outputs = []store.NewOutput{newOutput()}
	}
	file := millrace.File{ID: newID(), Tenant: millrace.DefaultTenant, Blob: outcomes[2].Outputs[0].Blob, SHA256: outcomes[2].Outputs[0].SHA256}
	if err := errors.Join(l.CreateFile(t.Context(), file, nil), l.DeleteFile(t.Context(), file.Tenant, file.ID)); err != nil {
		t.Fatal(err)
	}
	if keys, err := l.DyingBlobs(t.Context(), 0, 10); err != nil || len(keys) != 1 {
		t.Fatalf("DyingBlobs = %v, %v, want the one", keys, err)
	}
	won, err := l.Finish(t.Context(), outcomes)
	if !errors.Is(err, store.ErrStaleResult) {
		t.Fatalf("Finish = %v, want ErrStaleResult", err)
	}
	for i, o := range outcomes {
		want := millrace.Succeeded
		if i == 2 {
			want = millrace.Running
		}
		if j := get(t, l, o.Job); j.State != want || won[i] != (i != 2) {
			t.Errorf("outcome %d: state %s, won %v, want %s", i, j.State, won[i], want)
		}
	}
}

func newOutput() store.NewOutput {
	sum := strings.ReplaceAll(newID()+newID(), "-", "")
	return store.NewOutput{
		Output: millrace.Output{Name: "out", File: newID(), Size: 1, ContentType: "text/plain", SHA256: sum},
		Blob:   sum + "/" + strings.ReplaceAll(newID(), "-", ""),
	}
}

// TestClaimTwiceInOneBatch: the queue may hand out a delivery twice at the same moment; one of them runs.
func TestClaimTwiceInOneBatch(t *testing.T) {
	t.Parallel()
	l := open(t, testenv.Postgres(t))
	d := insert(t, l, 1)[0]
	claimed, err := l.Claim(t.Context(), newWorker(t, l), []store.Delivery{d, d})
	if err != nil {
		t.Fatal(err)
	}
	if claimed[0].Job == nil || claimed[1].Job != nil {
		t.Errorf("claimed %v and %v, want the first alone", claimed[0].Job, claimed[1].Job)
	}
}

// TestFrozenTransaction: a process that is stopped while it holds a job's row must not hold it for ever; until then a rescue passes over it.
func TestFrozenTransaction(t *testing.T) {
	t.Parallel()
	dsn := testenv.Postgres(t)
	l := open(t, dsn)
	w := newWorker(t, l)
	outcomes := claim(t, l, w, insert(t, l, 2))
	if err := l.Bury(t.Context(), w, store.Death{Crash: true}); err != nil {
		t.Fatal(err)
	}
	frozen := connect(t, dsn)
	exec(t, frozen, "BEGIN")
	exec(t, frozen, "SELECT 1 FROM jobs WHERE id = $1 FOR UPDATE", outcomes[0].Job)
	for i, want := range []int{1, 0} {
		if n, err := l.Rescue(t.Context()); n != want || err != nil {
			t.Errorf("rescue %d beside a frozen transaction = %d, %v, want %d", i+1, n, err, want)
		}
	}
	exec(t, frozen, "ROLLBACK")
	if n, err := l.Rescue(t.Context()); n != 1 || err != nil {
		t.Errorf("rescue after its end = %d, %v, want 1", n, err)
	}
}

// TestLostConnections: every connection dies, as when the server restarts; what comes a moment later works again.
func TestLostConnections(t *testing.T) {
	t.Parallel()
	dsn := testenv.Postgres(t)
	l := open(t, dsn)
	exec(t, connect(t, dsn), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	var err error
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		if err = l.Insert(t.Context(), []store.NewJob{{Job: newJob()}})[0]; err == nil {
			return
		}
	}
	t.Errorf("Insert still fails: %v", err)
}
