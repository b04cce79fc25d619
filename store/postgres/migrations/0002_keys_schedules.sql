-- Keys, deadlines, webhooks, schedules, paused queues, how workers died; and less to write for each job.
--
-- A program that knows version 1 goes on working beside this one. What it claims has its owner in worker_id, as before.

ALTER TABLE jobs
	ADD COLUMN deadline   timestamptz, -- NULL: none
	ADD COLUMN unique_key text,        -- NULL: none
	ADD COLUMN unique_ttl interval,    -- NULL: as long as the job lives
	ADD COLUMN webhook    jsonb,       -- {"url", "events"}; NULL: nobody is told
	ADD COLUMN schedule   text,        -- NULL: none made it
	ADD COLUMN home       text,        -- its own queue while it is in quarantine, else NULL
	ADD COLUMN input      uuid,        -- its input if there is one alone; several are rows of job_files
	ADD COLUMN owner      uuid,        -- who claimed it last; the owner while running, unless worker_id names another
	ADD COLUMN word       text;        -- how the last attempt ended, when that is not in attempts yet but made of the columns of a final job

-- A claim changes no indexed column: due_at and sent_gen stay while the job runs. So its new row goes beside the old one, if there is room in the
-- page, and no index hears of it. Which jobs a worker runs is in holds.
ALTER TABLE jobs SET (fillfactor = 50);

-- The attempts that a worker may be running: all that it runs and some that have ended. An attempt is a job with the fence of its claim, so one that
-- has ended can be taken out at any time later without taking out the next.
CREATE TABLE holds (
	worker uuid     PRIMARY KEY,
	jobs   uuid[]   NOT NULL,
	fences bigint[] NOT NULL -- one for each job
) WITH (fillfactor = 20, toast_tuple_target = 8160);

-- No statement by id names finished_at, so this index cannot be taken for one of those.
CREATE INDEX jobs_input ON jobs (input) WHERE input IS NOT NULL AND finished_at IS NULL;

-- What the foreign key of job_files is for jobs with several inputs. Whoever inserts a job locks its input FOR KEY SHARE; a delete has to wait for
-- that, and then sees the job.
CREATE FUNCTION keep_needed_file() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF EXISTS (SELECT 1 FROM jobs WHERE input = OLD.id AND finished_at IS NULL) THEN
		RAISE foreign_key_violation USING MESSAGE = 'file ' || OLD.id || ' is needed by a live job';
	END IF;
	RETURN OLD;
END $$;

CREATE TRIGGER keep_needed_file BEFORE DELETE ON files FOR EACH ROW EXECUTE FUNCTION keep_needed_file();

-- Without a predicate the planner may take these indexes for "id = $1", too, and read all of them: on an empty table they cost as much as the
-- primary key. Where a constraint needs the other index the primary key must be the younger one, which wins a tie.
DROP INDEX jobs_list;
CREATE INDEX jobs_list ON jobs (tenant, id) WHERE tenant IS NOT NULL;
DROP INDEX job_tags_list;
CREATE INDEX job_tags_list ON job_tags (tenant, tag, job) WHERE tenant IS NOT NULL;
CREATE UNIQUE INDEX files_key ON files (id);
ALTER TABLE files DROP CONSTRAINT files_pkey, ADD CONSTRAINT files_pkey PRIMARY KEY USING INDEX files_key;

CREATE INDEX jobs_overdue ON jobs (deadline) WHERE deadline IS NOT NULL AND finished_at IS NULL;

-- The key of a live job: nobody else may have it. The row goes with the transaction that ends the job.
CREATE TABLE unique_keys (
	key        text NOT NULL,
	tenant     text NOT NULL,
	job        uuid NOT NULL,
	expires_at timestamptz, -- NULL: when the job ends
	PRIMARY KEY (key, tenant)
);

CREATE INDEX unique_keys_expire ON unique_keys (expires_at) WHERE expires_at IS NOT NULL;

-- What creating requests were answered. A row outlives what it created.
CREATE TABLE idempotency_keys (
	key        text        NOT NULL,
	tenant     text        NOT NULL,
	hash       text        NOT NULL,
	answer     bytea,
	owner      uuid        NOT NULL, -- the job or file whose creation wrote the row: by it a repeated call knows its own
	created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (key, tenant)
);

CREATE INDEX idempotency_keys_expire ON idempotency_keys (created_at);

CREATE TABLE webhook_deliveries (
	job        uuid        NOT NULL,
	run        integer     NOT NULL,
	tenant     text        NOT NULL,
	event      text        NOT NULL,
	url        text        NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (job, run)
);

CREATE TABLE schedules (
	tenant      text        NOT NULL,
	name        text        NOT NULL,
	cron        text        NOT NULL,
	timezone    text        NOT NULL,
	catch_up    text        NOT NULL,
	paused      boolean     NOT NULL,
	job         json        NOT NULL,
	next_run_at timestamptz,           -- NULL: never
	last_run_at timestamptz,
	last_job    text        NOT NULL DEFAULT '',
	last_error  text        NOT NULL DEFAULT '',
	ticked      uuid,                  -- the first job of the newest tick: by it a repeated call knows its own
	version     bigint      NOT NULL,
	created_at  timestamptz NOT NULL DEFAULT now(),
	updated_at  timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant, name)
);

-- All schedules count with it, so that a tick of one that was deleted is no tick of the one that has its name now.
CREATE SEQUENCE schedule_versions;

CREATE INDEX schedules_due ON schedules (next_run_at, tenant, name) WHERE next_run_at IS NOT NULL;

CREATE TABLE paused_queues (
	queue     text        PRIMARY KEY,
	paused_at timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE workers
	ADD COLUMN crash  boolean NOT NULL DEFAULT false, -- it died by itself
	ADD COLUMN detail text    NOT NULL DEFAULT '';    -- how
