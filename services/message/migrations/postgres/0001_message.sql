-- Keys lead with the owner, so that the table can be spread over servers by author.
CREATE TABLE message (
    author_id uuid NOT NULL,
    id uuid NOT NULL,
    text text NOT NULL,
    flagged boolean NOT NULL DEFAULT false,
    -- The stamp of the last write of the flag, and who wrote it.
    flag_stamp uuid,
    flagged_by text,
    -- `flagged` rides along, so that messages can be counted without a look at them.
    PRIMARY KEY (author_id, id) INCLUDE (flagged)
);

-- The public timeline, and look-ups by id.
CREATE INDEX message_id ON message (id) INCLUDE (flagged);

-- The version of each author's timeline: the hashes of the messages that are not flagged, folded. Whoever
-- stores, flags or deletes a message folds it in or out, in the same statement.
CREATE TABLE timeline (
    author_id uuid PRIMARY KEY,
    version bigint NOT NULL
-- Room on each page, so that a new version needs no new entry in the index.
) WITH (fillfactor = 50);
