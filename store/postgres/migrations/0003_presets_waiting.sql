-- Named parameters, and jobs that wait for an equal one.

CREATE TABLE presets (
	tenant     text        NOT NULL,
	name       text        NOT NULL,
	type       text        NOT NULL,
	params     json        NOT NULL, -- as they were given
	version    bigint      NOT NULL, -- 1, 2, … of the name
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant, name)
);

ALTER TABLE jobs ADD COLUMN waits_for uuid; -- what a waiting job waits for: a row of equal_groups or equal_releases; NULL in every other state

-- Only waiting jobs are in these. No statement by id names waits_for in its condition, so they cannot be taken for one of those.
CREATE INDEX jobs_waiting       ON jobs (waits_for, id) WHERE waits_for IS NOT NULL;
CREATE INDEX jobs_waiting_queue ON jobs (queue)         WHERE waits_for IS NOT NULL;

-- The live job that computes a cache key for all who wait. The group keeps its id when it gets another leader, so that nobody who waits is written
-- for that. The row goes with the transaction that ends the leader, or on to the next leader.
CREATE TABLE equal_groups (
	cache_key text    NOT NULL,
	tenant    text    NOT NULL,
	id        uuid    NOT NULL,
	leader    uuid    NOT NULL,
	followed  boolean NOT NULL DEFAULT false, -- somebody waits, or did
	PRIMARY KEY (cache_key, tenant)
);

CREATE INDEX equal_groups_followed ON equal_groups (id) WHERE followed;

-- Groups whose leader has ended, while there are jobs that do not know it yet. Nobody joins them any more.
CREATE TABLE equal_releases (
	id        uuid PRIMARY KEY,
	cache_key text NOT NULL,
	tenant    text NOT NULL,
	leader    uuid NOT NULL
);
