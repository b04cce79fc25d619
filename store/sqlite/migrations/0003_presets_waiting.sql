-- Named parameters, and jobs that wait for an equal one.

CREATE TABLE presets (
    tenant     TEXT NOT NULL,
    name       TEXT NOT NULL,
    type       TEXT NOT NULL,
    params     TEXT NOT NULL, -- as they were given
    version    INTEGER NOT NULL, -- 1, 2, … of the name
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, name)
) WITHOUT ROWID;

-- What a waiting job waits for: a row of equal_groups or equal_releases. NULL in every other state.
ALTER TABLE jobs ADD COLUMN waits_for TEXT;

-- Only waiting jobs are in these. No statement by id repeats their predicate (see jobs_owed).
CREATE INDEX jobs_waiting          ON jobs (waits_for, id) WHERE waits_for IS NOT NULL;
CREATE INDEX jobs_waiting_queue    ON jobs (queue)         WHERE waits_for IS NOT NULL;
CREATE INDEX jobs_waiting_deadline ON jobs (deadline)      WHERE deadline IS NOT NULL AND waits_for IS NOT NULL;

-- The live job that computes a cache key for all who wait. The group keeps its id when it gets another leader, so that nobody who waits is written
-- for that. The row goes with the transaction that ends the leader, or on to the next leader.
CREATE TABLE equal_groups (
    tenant    TEXT NOT NULL,
    cache_key TEXT NOT NULL,
    id        TEXT NOT NULL,
    leader    TEXT NOT NULL,
    followed  INTEGER NOT NULL, -- somebody waits, or did
    PRIMARY KEY (tenant, cache_key)
) WITHOUT ROWID;
CREATE INDEX equal_groups_followed ON equal_groups (id) WHERE followed = 1;

-- Groups whose leader has ended, while there are jobs that do not know it yet. Nobody joins them any more.
CREATE TABLE equal_releases (
    id        TEXT PRIMARY KEY,
    tenant    TEXT NOT NULL,
    cache_key TEXT NOT NULL,
    leader    TEXT NOT NULL
) WITHOUT ROWID;
