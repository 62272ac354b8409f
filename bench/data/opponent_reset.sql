-- Deletes the rows that the load has written into the database of another monolith.
\set ON_ERROR_STOP on
DELETE FROM messages WHERE message_id > :messages;
DELETE FROM followers WHERE whom_id > :users;
VACUUM ANALYZE;
CHECKPOINT;
