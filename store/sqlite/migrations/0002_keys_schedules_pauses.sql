-- Programs that know only the schema before go on working on this one: what is new in jobs may be NULL, the rest is new.
ALTER TABLE jobs ADD COLUMN deadline   INTEGER;
ALTER TABLE jobs ADD COLUMN unique_key TEXT;
ALTER TABLE jobs ADD COLUMN unique_ttl INTEGER;
ALTER TABLE jobs ADD COLUMN webhook    TEXT;
ALTER TABLE jobs ADD COLUMN schedule   TEXT;
ALTER TABLE jobs ADD COLUMN home       TEXT; -- the queue that a job in quarantine came from

-- Only jobs that wait for a worker: a row leaves the index when it is claimed or final. Its predicate repeats no guard (see jobs_owed).
CREATE INDEX jobs_deadline ON jobs (deadline) WHERE deadline IS NOT NULL AND due_at IS NOT NULL;

-- What a request left behind for its repetition. Not bound to what it created: the answer is replayed although the job is deleted.
CREATE TABLE idempotency_keys (
    tenant     TEXT NOT NULL,
    key        TEXT NOT NULL,
    hash       TEXT NOT NULL,
    answer     BLOB,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

-- Which live job has a key. A table and not an index over jobs, because a key may end before its job.
CREATE TABLE unique_keys (
    tenant     TEXT NOT NULL,
    key        TEXT NOT NULL,
    job        TEXT NOT NULL,
    expires_at INTEGER, -- NULL: as long as the job lives
    PRIMARY KEY (tenant, key)
) WITHOUT ROWID;
CREATE INDEX unique_keys_expire ON unique_keys (expires_at) WHERE expires_at IS NOT NULL;

-- One row for each run that ended, if its job has a webhook that wants to know; written by the transaction that ended it.
CREATE TABLE webhook_deliveries (
    id         TEXT PRIMARY KEY,
    tenant     TEXT NOT NULL,
    job        TEXT NOT NULL,
    run        INTEGER NOT NULL,
    event      TEXT NOT NULL,
    url        TEXT NOT NULL,
    created_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX webhook_deliveries_job ON webhook_deliveries (job, run);

CREATE TABLE paused_queues (
    queue TEXT PRIMARY KEY
) WITHOUT ROWID;

CREATE TABLE schedules (
    tenant      TEXT NOT NULL,
    name        TEXT NOT NULL,
    cron        TEXT NOT NULL,
    timezone    TEXT NOT NULL,
    catch_up    TEXT NOT NULL,
    paused      INTEGER NOT NULL,
    job         TEXT NOT NULL,
    next_run_at INTEGER,
    last_run_at INTEGER,
    last_job    TEXT NOT NULL,
    last_error  TEXT NOT NULL,
    version     INTEGER NOT NULL, -- never used twice, also not by another schedule of the same name
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    PRIMARY KEY (tenant, name)
) WITHOUT ROWID;
CREATE INDEX schedules_due ON schedules (next_run_at) WHERE next_run_at IS NOT NULL;
INSERT INTO meta (key, value) VALUES ('schedule_version', '0');
