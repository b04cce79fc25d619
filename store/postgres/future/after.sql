-- The one after next: too far ahead for this version.
ALTER TABLE future ADD COLUMN note text;
