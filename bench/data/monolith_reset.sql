-- Deletes the rows that the load has written since bench/data/monolith.sql, with the same variables.
\set ON_ERROR_STOP on
\if :{?users} \else \set users 5000 \endif
\if :{?messages} \else \set messages 100000 \endif
DELETE FROM messages WHERE message_id > :messages;
DELETE FROM followers WHERE whom_id > :users;
DELETE FROM users WHERE user_id > :users + 400;
UPDATE latest SET value = -1, stamp = 0;
ALTER SEQUENCE latest_stamp RESTART;
VACUUM ANALYZE;
CHECKPOINT;
