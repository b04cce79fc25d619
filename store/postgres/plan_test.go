package postgres_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/store/postgres"
)

// plan is a node of EXPLAIN (FORMAT JSON).
type plan struct {
	Type     string  `json:"Node Type"`
	Relation string  `json:"Relation Name"`
	Index    string  `json:"Index Name"`
	Cond     string  `json:"Index Cond"`
	Rows     float64 `json:"Actual Rows"`
	Filtered float64 `json:"Rows Removed by Filter"`
	Loops    float64 `json:"Actual Loops"`
	Plans    []plan
}

func (p plan) walk(visit func(plan)) {
	visit(p)
	for _, child := range p.Plans {
		child.walk(visit)
	}
}

// session is one connection of the ledger, with the ledger's settings.
func session(t *testing.T, l *postgres.Ledger) *pgxpool.Conn {
	t.Helper()
	conn, err := l.Pool().Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Release)
	return conn
}

var placeholder = regexp.MustCompile(`\$(\d+)`)

// prepare plans a statement under its own name the way pgx does: once, for all later calls.
func prepare(t *testing.T, conn *pgxpool.Conn, name, sql string) (params int) {
	t.Helper()
	for _, m := range placeholder.FindAllStringSubmatch(sql, -1) {
		n, _ := strconv.Atoi(m[1])
		params = max(params, n)
	}
	if _, err := conn.Exec(t.Context(), fmt.Sprintf("PREPARE %q AS %s", name, sql), pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatalf("prepare %s: %v", name, err)
	}
	return params
}

// explain shows the plan of a prepared statement. args are SQL literals.
func explain(t *testing.T, conn *pgxpool.Conn, options, name string, args []string) plan {
	t.Helper()
	call := fmt.Sprintf("EXPLAIN (FORMAT JSON%s) EXECUTE %q", options, name)
	if len(args) > 0 {
		call += "(" + strings.Join(args, ", ") + ")"
	}
	var text []byte
	if err := conn.QueryRow(t.Context(), call, pgx.QueryExecModeSimpleProtocol).Scan(&text); err != nil {
		t.Fatalf("explain %s: %v", name, err)
	}
	var plans []struct{ Plan plan }
	if err := json.Unmarshal(text, &plans); err != nil || len(plans) != 1 {
		t.Fatalf("explain %s: %v: %s", name, err, text)
	}
	return plans[0].Plan
}

// big are the tables that grow with use.
var big = []string{
	"jobs", "files", "blobs", "job_files", "job_tags", "results", "unique_keys", "equal_groups", "equal_releases", "idempotency_keys", "webhook_deliveries", "schedules", "presets",
}

// TestEveryPlanUsesAnIndex explains every statement on an empty database that has been analysed, the moment at which the planner has every reason
// to think that reading a whole table is cheapest, and wants an index condition on each big table all the same.
func TestEveryPlanUsesAnIndex(t *testing.T) {
	t.Parallel()
	l := open(t, testenv.Postgres(t))
	conn := session(t, l)
	if _, err := conn.Exec(t.Context(), "VACUUM ANALYZE"); err != nil {
		t.Fatal(err)
	}
	// Small indexes that some statements read from one end, up to a limit or because all of it is wanted.
	whole := map[string][]string{
		"jobs_owner":         {"rescueSQL", "forceCancelSQL", "runningSQL", "listRunningSQL", "workersSQL"},
		"jobs_owed":          {"depthsSQL", "backlogSQL"},
		"jobs_waiting_queue": {"waitingQueuesSQL", "backlogSQL"},
		"blobs_dying":        {"dyingBlobsSQL"},
		// One row for each worker.
		"holds_pkey":   {"untidySQL", "trimHoldsSQL"},
		"workers_pkey": {"untidySQL", "dropHoldsSQL"},
	}
	explained := 0
	for name, sql := range postgres.Statements() {
		params := prepare(t, conn, name, sql)
		explain(t, conn, "", name, slices.Repeat([]string{"NULL"}, params)).walk(func(p plan) {
			if !slices.Contains(big, p.Relation) && !strings.HasSuffix(p.Type, "Index Scan") || p.Type == "ModifyTable" {
				return
			}
			explained++
			switch {
			case strings.HasSuffix(p.Index, "_list") && !strings.Contains(p.Cond, "tenant"):
				t.Errorf("%s: %s of %s with index %q has no condition on its first column: %s", name, p.Type, p.Relation, p.Index, p.Cond)
			case p.Type == "Bitmap Heap Scan", p.Type == "Tid Scan", p.Cond != "":
			case slices.Contains(whole[p.Index], name):
			default:
				t.Errorf("%s: %s of %s with index %q has no index condition", name, p.Type, p.Relation, p.Index)
			}
		})
	}
	if explained < 50 {
		t.Errorf("only %d scans were looked at: the test no longer sees the plans", explained)
	}
}

// TestStatementsAreListed keeps a new statement from escaping TestEveryPlanUsesAnIndex.
func TestStatementsAreListed(t *testing.T) {
	t.Parallel()
	parts := []string{"lostSQL", "tellSQL", "patientSQL", "lockSchemaSQL", "versionsSQL", "schemaVersionSQL", "hasVersionsSQL", "noteVersionSQL"} // of others, and migrations
	listed := postgres.Statements()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			for _, name := range spec.Names {
				if !strings.HasSuffix(name.Name, "SQL") || slices.Contains(parts, name.Name) {
					continue
				}
				found++
				if listed[name.Name] == "" {
					t.Errorf("%s is not among Statements", name.Name)
				}
			}
			return true
		})
	}
	if found != len(listed) {
		t.Errorf("the package has %d statements, %d are listed", found, len(listed))
	}
}

// TestBurst is the planner's trap: statements prepared on tables that were analysed while empty, then 20,000 jobs queued, as many running, and as many
// that wait for one.
// Each statement must touch a few rows for each job of its batch.
func TestBurst(t *testing.T) {
	t.Parallel()
	const (
		rows  = 20_000
		batch = 16
	)
	l := open(t, testenv.Postgres(t))
	conn := session(t, l)
	for _, table := range big {
		if _, err := conn.Exec(t.Context(), "ALTER TABLE "+table+" SET (autovacuum_enabled = off)"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Exec(t.Context(), "VACUUM ANALYZE"); err != nil {
		t.Fatal(err)
	}
	fill := func(state, queue, worker, due string) (ids string) {
		t.Helper()
		sql := fmt.Sprintf(`WITH made AS (
			INSERT INTO jobs (id, tenant, type, state, priority, queue, params, run, max_attempts, timeout, backoff, retention, fence, owner,
				started_at, created_at, run_at, due_at)
			SELECT gen_random_uuid(), 'default', 'x', '%s', 'normal', '%s', '{}', 1, 5, '1 min', '{}', '1 hour', 1, %s, now(), now(), now(), %s
			FROM generate_series(1, %d) RETURNING id)
			SELECT quote_literal((array_agg(id))[1:%d]) || '::uuid[]' FROM made`, state, queue, worker, due, rows, batch)
		if err := conn.QueryRow(t.Context(), sql).Scan(&ids); err != nil {
			t.Fatal(err)
		}
		return ids
	}
	statements := postgres.Statements()
	for _, name := range []string{"claimSQL", "reclaimSQL", "busySQL", "finishSQL", "finishPlainSQL", "owedSQL", "markSentSQL", "holdingsSQL", "undoneSQL", "presentSQL",
		"waitingSQL", "endWaitingSQL", "liveSQL", "promoteSQL", "rejoinSQL", "cancelSQL"} {
		prepare(t, conn, name, statements[name])
	}
	const worker = "'00000000-0000-7000-8000-000000000001'::uuid"
	if _, err := conn.Exec(t.Context(), `INSERT INTO workers (id, host, boot_id, pid, pid_start, role, cpu_slots, io_slots, memory_used, memory_budget,
		started_at, beat_at) VALUES (`+worker+`, '', '', 1, 1, '', 1, 1, 0, 0, now(), now())`); err != nil {
		t.Fatal(err)
	}
	fill("scheduled", "cpu.normal", "NULL", "now() + interval '1 month'")
	queued, running := fill("queued", "cpu.normal", "NULL", "now()"), fill("running", "cpu.normal", worker, "now() + interval '1 second'")

	waiting := fill("waiting", "cpu.normal", "NULL", "NULL")
	const group = "'00000000-0000-7000-8000-000000000002'::uuid"
	if _, err := conn.Exec(t.Context(), `UPDATE jobs SET waits_for = `+group+` WHERE state = 'waiting'`); err != nil {
		t.Fatal(err)
	}

	ones := fmt.Sprintf("array_fill(1::bigint, ARRAY[%d])", batch)
	places := "'{" + strings.Trim(strings.Repeat("0,", batch), ",") + "}'::int[]"
	texts := func(s string) string { return fmt.Sprintf("array_fill(%s::text, ARRAY[%d])", s, batch) }
	for _, tt := range []struct {
		name string
		args []string
		most float64 // rows of jobs that may be looked at for each job of the batch
	}{
		{"claimSQL", []string{queued, ones, worker, "'{}'", "'{}'", "'{}'"}, 2},
		{"reclaimSQL", []string{running, "array_fill(0::bigint, ARRAY[16])", worker}, 2},
		{"busySQL", []string{running, worker}, 2},
		{"finishPlainSQL", []string{
			running, ones, places, texts("'failed'"), texts("'error'"), texts("NULL"), texts("NULL"), texts("NULL"),
		}, 2},
		{"presentSQL", []string{queued}, 2},
		{"undoneSQL", []string{queued, "array_fill(2::bigint, ARRAY[16])"}, 2},
		{"finishSQL", []string{
			running, ones, places, texts("'failed'"), texts("'error'"), texts("NULL"), texts("NULL"), texts("NULL"), texts("NULL"),
			fmt.Sprintf("array_fill(interval '0', ARRAY[%d])", batch),
		}, 2},
		{"owedSQL", []string{"ARRAY['cpu.normal', 'io.low']", fmt.Sprintf("ARRAY[%d, %[1]d]", batch)}, 4},
		{"markSentSQL", []string{queued, ones, "1"}, 2},
		{"liveSQL", []string{queued}, 2},
		{"waitingSQL", []string{group, fmt.Sprint(batch)}, 2},
		{"endWaitingSQL", append([]string{waiting, "'failed'", "false", "NULL", "'{}'", texts("NULL")}, slices.Repeat([]string{"'{}'"}, 7)...), 2},
		{"promoteSQL", []string{"(" + waiting + ")[1]"}, 2},
		{"rejoinSQL", []string{waiting, "gen_random_uuid()"}, 2},
		{"cancelSQL", []string{"'default'", "(" + waiting + ")[1]"}, 2},
		{"holdingsSQL", []string{worker, running, ones, places}, 2},
	} {
		if _, err := conn.Exec(t.Context(), "BEGIN"); err != nil {
			t.Fatal(err)
		}
		touched := 0.0
		explain(t, conn, ", ANALYZE", tt.name, tt.args).walk(func(p plan) {
			if p.Relation == "jobs" && strings.Contains(p.Type, "Scan") || p.Type == "Bitmap Index Scan" {
				touched += (p.Rows + p.Filtered) * p.Loops
			}
		})
		if _, err := conn.Exec(t.Context(), "ROLLBACK"); err != nil {
			t.Fatal(err)
		}
		least := float64(batch)
		if tt.name == "promoteSQL" || tt.name == "cancelSQL" {
			least = 1
		}
		if touched < least || touched > tt.most*batch {
			t.Errorf("%s for %d jobs looked at %.0f rows of jobs, want %d to %.0f", tt.name, batch, touched, batch, tt.most*batch)
		}
	}
}
