-- Keys lead with the owner, so that the table can be spread over servers by author.
CREATE TABLE message (
    author_id uuid NOT NULL,
    id uuid NOT NULL,
    text text NOT NULL,
    flagged boolean NOT NULL DEFAULT false,
    -- The stamp of the last write of the flag, and who wrote it.
    flag_stamp uuid,
    flagged_by text,
    -- `flagged` rides along, so that a timeline's version is an index-only scan.
    PRIMARY KEY (author_id, id) INCLUDE (flagged)
);

-- The public timeline, and look-ups by id.
CREATE INDEX message_id ON message (id) INCLUDE (flagged);
