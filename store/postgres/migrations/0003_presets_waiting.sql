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
