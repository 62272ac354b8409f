-- Takes back what the load has written into a monolith's database that is not ours.
\set ON_ERROR_STOP on
DELETE FROM messages WHERE message_id > :messages;
DELETE FROM followers WHERE whom_id > :users;
VACUUM ANALYZE;
CHECKPOINT;
