-- Times are milliseconds since 1970 UTC, durations nanoseconds, JSON is text. NULL: not yet, never, or none.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO meta (key, value) VALUES ('generation', '1');

CREATE TABLE jobs (
    id           TEXT PRIMARY KEY,
    tenant       TEXT NOT NULL,
    type         TEXT NOT NULL,
    state        TEXT NOT NULL,
    priority     TEXT NOT NULL,
    queue        TEXT NOT NULL,
    fence        INTEGER NOT NULL,
    worker_id    TEXT,
    due_at       INTEGER, -- from when Owed reports the job; NULL while nobody may claim it
    sent_gen     INTEGER NOT NULL DEFAULT 0,
    run          INTEGER NOT NULL,
    attempt      INTEGER NOT NULL,
    max_attempts INTEGER NOT NULL,
    starts       INTEGER NOT NULL,
    crashes      INTEGER NOT NULL,
    cached       INTEGER NOT NULL,
    cache_key    TEXT NOT NULL,
    timeout      INTEGER NOT NULL,
    retention    INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    run_at       INTEGER NOT NULL,
    started_at   INTEGER,
    finished_at  INTEGER,
    expires_at   INTEGER,
    cancel_at    INTEGER,
    backoff      TEXT NOT NULL,
    inputs       TEXT,
    tags         TEXT,
    progress     TEXT,
    error        TEXT,
    outputs      TEXT,
    attempts     TEXT NOT NULL DEFAULT '[]',
    metadata     TEXT,
    params       TEXT,
    result       TEXT
);

-- Rows leave these indexes when they move on, so each stays small. Their predicates must not repeat the guard of an update (state = …):
-- the planner could then serve "id = ? AND state = …" from them instead of the primary key and read every running row.
CREATE INDEX jobs_owed   ON jobs (queue, sent_gen, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX jobs_owner  ON jobs (worker_id)               WHERE worker_id IS NOT NULL;
CREATE INDEX jobs_expire ON jobs (expires_at)              WHERE expires_at IS NOT NULL;
CREATE INDEX jobs_list   ON jobs (tenant, id);

CREATE TABLE job_tags (
    tenant TEXT NOT NULL,
    tag    TEXT NOT NULL,
    job    TEXT NOT NULL,
    PRIMARY KEY (tenant, tag, job)
) WITHOUT ROWID;

-- The result cache: the newest succeeded job of each key. Apart from jobs, so that no index over jobs carries the key.
CREATE TABLE results (
    tenant    TEXT NOT NULL,
    cache_key TEXT NOT NULL,
    job       TEXT NOT NULL,
    PRIMARY KEY (tenant, cache_key)
) WITHOUT ROWID;

CREATE TABLE blobs (
    key        TEXT PRIMARY KEY,
    tenant     TEXT NOT NULL,
    sha256     TEXT NOT NULL,
    size       INTEGER NOT NULL,
    state      TEXT NOT NULL, -- live, then dying; never back
    touched_at INTEGER NOT NULL,
    loose      INTEGER NOT NULL DEFAULT 0 -- a file has let go of it since somebody looked whether others hold it
);
CREATE INDEX blobs_content ON blobs (tenant, sha256);
CREATE INDEX blobs_dying   ON blobs (key) WHERE state = 'dying';
CREATE INDEX blobs_loose   ON blobs (touched_at) WHERE loose = 1;

CREATE TABLE files (
    id           TEXT PRIMARY KEY,
    tenant       TEXT NOT NULL,
    name         TEXT NOT NULL,
    size         INTEGER NOT NULL,
    sha256       TEXT NOT NULL,
    content_type TEXT NOT NULL,
    blob         TEXT NOT NULL REFERENCES blobs (key) ON DELETE RESTRICT,
    job          TEXT,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER
);
CREATE INDEX files_list   ON files (tenant, id);
CREATE INDEX files_blob   ON files (blob);
CREATE INDEX files_expire ON files (expires_at) WHERE expires_at IS NOT NULL;

-- The collector looks at loose blobs only. A trigger, because no way of deleting a file may forget it: the bytes would stay for ever.
CREATE TRIGGER files_let_go AFTER DELETE ON files BEGIN
    UPDATE blobs SET loose = 1 WHERE key = OLD.blob;
END;

-- The files that live jobs need. Rows go when the job becomes final.
CREATE TABLE job_files (
    job  TEXT NOT NULL,
    file TEXT NOT NULL REFERENCES files (id) ON DELETE RESTRICT,
    PRIMARY KEY (job, file)
) WITHOUT ROWID;
CREATE INDEX job_files_file ON job_files (file);
