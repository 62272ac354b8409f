-- Keys lead with the owner, so that the table can be spread over servers by follower.
CREATE TABLE follow (
    follower_id uuid NOT NULL,
    followee_id uuid NOT NULL,
    -- An edge that was taken back keeps its row, so that a late write finds a greater stamp.
    following boolean NOT NULL,
    -- The stamp of the last write.
    stamp uuid NOT NULL,
    -- `following` rides along, so that a list and its version are index-only scans.
    PRIMARY KEY (follower_id, followee_id) INCLUDE (following)
);

-- Who follows an account.
CREATE INDEX follow_mirror ON follow (followee_id, follower_id) INCLUDE (following);
