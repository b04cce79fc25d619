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
