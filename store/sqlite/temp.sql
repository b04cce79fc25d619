-- Who lives and who leads is true only as long as this process runs, and changes every second: temporary tables of the writer's connection,
-- so that an idle server writes nothing to disk. beat and expires are milliseconds of the monotonic clock since the ledger was opened.
CREATE TEMP TABLE workers (
    id            TEXT PRIMARY KEY,
    host          TEXT NOT NULL,
    boot_id       TEXT NOT NULL,
    pid           INTEGER NOT NULL,
    pid_start     INTEGER NOT NULL,
    role          TEXT NOT NULL,
    cpu_slots     INTEGER NOT NULL,
    io_slots      INTEGER NOT NULL,
    memory_used   INTEGER NOT NULL,
    memory_budget INTEGER NOT NULL,
    running       TEXT NOT NULL,
    started_at    INTEGER NOT NULL,
    beat_at       INTEGER NOT NULL,
    beat          INTEGER NOT NULL,
    state         TEXT NOT NULL, -- live or dead
    crash         INTEGER NOT NULL DEFAULT 0, -- how the dead one ended
    detail        TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE TEMP TABLE leases (
    name    TEXT PRIMARY KEY,
    holder  TEXT NOT NULL,
    term    INTEGER NOT NULL,
    expires INTEGER NOT NULL
) WITHOUT ROWID;
