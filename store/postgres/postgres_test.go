package postgres_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/store/postgres"
	"github.com/millrace/millrace/store/storetest"
)

func TestLedger(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Backend {
		dsn := testenv.Postgres(t)
		return storetest.Backend{Ledger: open(t, dsn), Age: func(t testing.TB, d time.Duration) { age(t, dsn, d) }}
	})
}

func TestModel(t *testing.T) {
	t.Parallel()
	storetest.RunModel(t, func(t *testing.T) storetest.Backend {
		dsn := testenv.Postgres(t)
		return storetest.Backend{Ledger: open(t, dsn), Age: func(t testing.TB, d time.Duration) { age(t, dsn, d) }}
	})
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func open(t testing.TB, dsn string) *postgres.Ledger {
	t.Helper()
	l, err := postgres.Open(t.Context(), postgres.Config{DSN: dsn, Log: quiet()})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// connect gives a test a connection of its own, beside the ledger's.
func connect(t testing.TB, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func exec(t testing.TB, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// age moves every stored time back by d.
func age(t testing.TB, dsn string, d time.Duration) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	defer conn.Close(context.Background())
	rows, err := conn.Query(t.Context(), `SELECT table_name, string_agg(format('%1$I = %1$I - $1::interval', column_name), ', ')
		FROM information_schema.columns WHERE table_schema = 'public' AND data_type = 'timestamp with time zone' GROUP BY table_name`)
	if err != nil {
		t.Fatal(err)
	}
	var table, set string
	var updates []string
	if _, err := pgx.ForEachRow(rows, []any{&table, &set}, func() error {
		updates = append(updates, fmt.Sprintf("UPDATE %s SET %s", table, set))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(strings.Join(updates, " "), "due_at") {
		t.Fatal("age found no time to move")
	}
	for _, update := range updates {
		exec(t, conn, update, d)
	}
}
