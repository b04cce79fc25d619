package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	oldestServer   = 130000
	connectTimeout = 10 * time.Second
)

// sessionSettings are the parameters of every connection. One that the DSN names is left as it is there.
func sessionSettings() map[string]string {
	return map[string]string{
		"application_name": "millrace",
		"timezone":         "UTC",
		// See the package's comment. jit looks at costs, which a disabled scan makes huge.
		"enable_seqscan": "off",
		// A nested loop over two lists of the batch is quadratic. LATERAL gets its loop all the same. Bitmaps would lose the order of ids in which
		// batches take their locks.
		"enable_nestloop":   "off",
		"enable_bitmapscan": "off",
		"plan_cache_mode":   "force_generic_plan",
		"jit":               "off",
		// A process that is stopped in the middle of a transaction must not hold its rows for ever.
		"idle_in_transaction_session_timeout": "15s",
		// For statements whose caller is gone without a word; who waits ends sooner, by readLimit, writeLimit and batchLimit.
		"statement_timeout": "60s",
		"lock_timeout":      "20s",
	}
}

// ErrUnsuitable says that the server answers, and that a ledger cannot be kept there until somebody changes the server.
var ErrUnsuitable = errors.New("this PostgreSQL cannot keep a ledger")

// Validate says whether the DSN can be read. Nothing is connected.
func (cfg Config) Validate() error {
	_, err := poolConfig(cfg)
	return err
}

func poolConfig(cfg Config) (*pgxpool.Config, error) {
	if cfg.DSN == "" {
		return nil, errors.New("open PostgreSQL: no DSN given")
	}
	conf, err := pgxpool.ParseConfig(cfg.DSN)
	if err != nil {
		return nil, fmt.Errorf("open PostgreSQL: %w", oneLine(err))
	}
	if cfg.MaxConns > 0 {
		conf.MaxConns = int32(cfg.MaxConns)
	}
	if conf.ConnConfig.ConnectTimeout == 0 {
		conf.ConnConfig.ConnectTimeout = connectTimeout
	}
	for name, value := range sessionSettings() {
		if _, set := conf.ConnConfig.RuntimeParams[name]; !set {
			conf.ConnConfig.RuntimeParams[name] = value
		}
	}
	conf.ConnConfig.DialFunc = dialer().DialContext
	conf.ConnConfig.BuildContextWatcherHandler = cancelOnServer
	return conf, nil
}

// A peer that is lost without a word is noticed after this time. The kernel's own patience would be a quarter of an hour for what was sent, and
// two hours for an idle connection.
const (
	silentPeer    = 20 * time.Second
	keepAliveIdle = 10 * time.Second
	keepAliveStep = 5 * time.Second
)

func dialer() *net.Dialer {
	return &net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: keepAliveIdle, Interval: keepAliveStep, Count: 2},
		Control:         limitSilence,
	}
}

// cancelOnServer ends a statement on the server when its caller gives up, so that it does not go on working for nobody. A server that does not
// answer even then costs the connection.
func cancelOnServer(conn *pgconn.PgConn) ctxwatch.Handler {
	return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: 2 * time.Second}
}

const serverSQL = `SELECT current_setting('server_version_num')::int, current_setting('server_version'),
	current_setting('synchronous_commit'), current_setting('fsync'), current_setting('full_page_writes')`

// checkServer refuses a server on which a job could be confirmed and then lost, or whose SQL is too old.
func checkServer(ctx context.Context, conn *pgx.Conn, log *slog.Logger) error {
	var (
		number                            int
		version, commit, fsync, fullPages string
	)
	if err := conn.QueryRow(ctx, serverSQL).Scan(&number, &version, &commit, &fsync, &fullPages); err != nil {
		return fmt.Errorf("read PostgreSQL's settings: %w", oneLine(err))
	}
	if number < oldestServer {
		return fmt.Errorf("%w: version %s is too old, use 13 or newer", ErrUnsuitable, version)
	}
	if commit == "off" {
		return fmt.Errorf("%w: it has synchronous_commit=off, so an accepted job could be lost; set it to on "+
			"(ALTER SYSTEM SET synchronous_commit = on, then SELECT pg_reload_conf(); look at ALTER ROLE and ALTER DATABASE settings, too)", ErrUnsuitable)
	}
	if fsync == "off" || fullPages == "off" {
		log.Warn("PostgreSQL may lose or damage the ledger when the machine fails", "fsync", fsync, "full_page_writes", fullPages)
	}
	return nil
}

// flat is an error told on one line; the chain stays as it is.
type flat struct{ error }

func (f flat) Unwrap() error { return f.error }

func (f flat) Error() string { return strings.Join(strings.Fields(f.error.Error()), " ") }

// oneLine keeps the driver's words, which name host, user and database but never the password, on one line.
func oneLine(err error) error { return flat{err} }
