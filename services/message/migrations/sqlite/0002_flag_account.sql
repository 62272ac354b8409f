-- The account that wrote the flag last; the nil id, or nothing: an operator, named in `flagged_by`.
ALTER TABLE message ADD COLUMN flagged_by_id BLOB;
