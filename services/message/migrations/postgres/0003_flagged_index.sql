-- no-transaction
-- The list of flagged messages. Beside the writes, which must not wait until a large table is read.
CREATE INDEX CONCURRENTLY message_flagged ON message (flag_stamp) WHERE flagged;
