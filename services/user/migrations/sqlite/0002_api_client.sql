CREATE TABLE api_client (
    client TEXT COLLATE BINARY PRIMARY KEY NOT NULL,
    latest BIGINT NOT NULL,
    -- The key of the last write.
    stamp BLOB NOT NULL
) WITHOUT ROWID;
