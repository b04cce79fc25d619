-- A migration that no release has: the upgrade tests build the next version with it. It does what migrations may do, which is to add.
ALTER TABLE jobs ADD COLUMN future_note text;
ALTER TABLE jobs ADD COLUMN future_count integer NOT NULL DEFAULT 0;
CREATE TABLE future (job text PRIMARY KEY);
