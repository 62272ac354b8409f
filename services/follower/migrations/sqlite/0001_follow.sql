-- Clustered by follower, so that whom an account follows is one range of the file.
CREATE TABLE follow (
    follower_id BLOB NOT NULL,
    followee_id BLOB NOT NULL,
    -- An edge that was taken back keeps its row, so that a late write finds a greater stamp.
    following BOOLEAN NOT NULL,
    -- The stamp of the last write.
    stamp BLOB NOT NULL,
    PRIMARY KEY (follower_id, followee_id)
) WITHOUT ROWID;

-- Who follows an account.
CREATE INDEX follow_mirror ON follow (followee_id, follower_id, following);
