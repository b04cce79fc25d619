-- The ledger: jobs and what hangs on them, files and their bytes, workers, leases.
--
-- No partial index on jobs has a state in its predicate. With WHERE state = 'running' the planner may serve
-- "id = $1 AND state = 'running'" from that index instead of the primary key, because statistics of a quiet hour say that it is empty; after a
-- burst each update then reads every running row. The predicates below are ones that no statement by id repeats.

CREATE TABLE jobs (
	id           uuid        PRIMARY KEY,
	tenant       text        NOT NULL,
	type         text        NOT NULL,
	state        text        NOT NULL,
	priority     text        NOT NULL,
	queue        text        NOT NULL,
	params       json        NOT NULL,
	inputs       jsonb,                        -- NULL: none
	tags         jsonb,                        -- NULL: none
	metadata     json,
	progress     json,
	result       json,
	outputs      json,                         -- NULL: none
	error        json,
	attempts     jsonb       NOT NULL DEFAULT '[]', -- ended ones; the running one is made of the columns below
	run          integer     NOT NULL,
	attempt      integer     NOT NULL DEFAULT 0,
	max_attempts integer     NOT NULL,
	starts       integer     NOT NULL DEFAULT 0,
	crashes      integer     NOT NULL DEFAULT 0,
	timeout      interval    NOT NULL,
	backoff      json        NOT NULL,
	retention    interval    NOT NULL,
	cache_key    text,                         -- NULL: the result is not cached
	cached       boolean     NOT NULL DEFAULT false,
	fence        bigint      NOT NULL,
	worker_id    uuid,                         -- the owner while running, else NULL
	sent_gen     bigint      NOT NULL DEFAULT 0, -- the generation in which the delivery was last known to be in the queue
	created_at   timestamptz NOT NULL,
	run_at       timestamptz NOT NULL,
	due_at       timestamptz,                  -- when Owed reports it; NULL while it cannot be claimed
	started_at   timestamptz,
	finished_at  timestamptz,
	expires_at   timestamptz,
	cancel_at    timestamptz
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

CREATE INDEX jobs_owed   ON jobs (queue, sent_gen, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX jobs_owner  ON jobs (worker_id)               WHERE worker_id IS NOT NULL;
CREATE INDEX jobs_expire ON jobs (expires_at)              WHERE expires_at IS NOT NULL;
CREATE INDEX jobs_list   ON jobs (tenant, id);

CREATE TABLE job_tags (
	job    uuid NOT NULL,
	tenant text NOT NULL,
	tag    text NOT NULL,
	PRIMARY KEY (job, tag)
);

CREATE INDEX job_tags_list ON job_tags (tenant, tag, job);

-- The newest job that computed a result.
CREATE TABLE results (
	cache_key text NOT NULL,
	tenant    text NOT NULL,
	job       uuid NOT NULL,
	PRIMARY KEY (cache_key, tenant)
);

CREATE TABLE blobs (
	key        text        PRIMARY KEY,
	tenant     text        NOT NULL,
	sha256     text        NOT NULL,
	size       bigint      NOT NULL,
	touched_at timestamptz NOT NULL DEFAULT now(), -- when somebody last meant to refer to it
	loose      boolean     NOT NULL DEFAULT false,  -- a reference to it has gone: the collector should look
	dying_at   timestamptz                          -- when the collector took it, for good; NULL: live
);

CREATE INDEX blobs_content ON blobs (tenant, sha256);
CREATE INDEX blobs_loose   ON blobs (touched_at) WHERE loose;
CREATE INDEX blobs_dying   ON blobs (dying_at)   WHERE dying_at IS NOT NULL;

CREATE TABLE files (
	id           uuid        PRIMARY KEY,
	tenant       text        NOT NULL,
	name         text        NOT NULL,
	size         bigint      NOT NULL,
	sha256       text        NOT NULL,
	content_type text        NOT NULL,
	blob         text        NOT NULL REFERENCES blobs (key) ON DELETE RESTRICT,
	job          uuid,                              -- the job whose output it is, or NULL for an upload
	created_at   timestamptz NOT NULL,
	expires_at   timestamptz,                       -- NULL: never
	CONSTRAINT files_list UNIQUE (tenant, id)       -- lists, and what job_files refers to
);

CREATE INDEX files_blob   ON files (blob);
CREATE INDEX files_expire ON files (expires_at) WHERE job IS NULL AND expires_at IS NOT NULL;

-- Which files live jobs need. The tenant is part of the key, so a job cannot hold another tenant's file.
CREATE TABLE job_files (
	job    uuid NOT NULL,
	tenant text NOT NULL,
	file   uuid NOT NULL,
	PRIMARY KEY (job, file),
	CONSTRAINT job_files_file FOREIGN KEY (tenant, file) REFERENCES files (tenant, id) ON DELETE RESTRICT
);

CREATE INDEX job_files_needed ON job_files (tenant, file);

CREATE TABLE workers (
	id            uuid        PRIMARY KEY,
	host          text        NOT NULL,
	boot_id       text        NOT NULL,
	pid           bigint      NOT NULL,
	pid_start     bigint      NOT NULL,
	role          text        NOT NULL,
	cpu_slots     integer     NOT NULL,
	io_slots      integer     NOT NULL,
	memory_used   bigint      NOT NULL,
	memory_budget bigint      NOT NULL,
	started_at    timestamptz NOT NULL,
	beat_at       timestamptz NOT NULL,
	state         text        NOT NULL DEFAULT 'live', -- or dead, for good
	buried_at     timestamptz
) WITH (fillfactor = 50);

CREATE TABLE leases (
	name       text        PRIMARY KEY,
	holder     text        NOT NULL,
	term       bigint      NOT NULL,
	expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE generation (
	one boolean PRIMARY KEY DEFAULT true CHECK (one), -- there is one row
	gen bigint  NOT NULL
);

INSERT INTO generation (gen) VALUES (1);

-- What the ledger remembers about itself, such as the blob store's id.
CREATE TABLE settings (
	name  text PRIMARY KEY,
	value text NOT NULL
);
