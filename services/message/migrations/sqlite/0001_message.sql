-- Clustered by author, so that an author's timeline is one range of the file.
CREATE TABLE message (
    author_id BLOB NOT NULL,
    id BLOB NOT NULL,
    text TEXT NOT NULL,
    flagged BOOLEAN NOT NULL DEFAULT FALSE,
    -- The stamp of the last write of the flag, and who wrote it.
    flag_stamp BLOB,
    flagged_by TEXT,
    PRIMARY KEY (author_id, id)
) WITHOUT ROWID;

-- The public timeline, and look-ups by id.
CREATE INDEX message_id ON message (id, flagged);
