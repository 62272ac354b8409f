-- The list of flagged messages.
CREATE INDEX message_flagged ON message (flag_stamp) WHERE flagged;
