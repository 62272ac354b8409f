CREATE TABLE account (
    id BLOB PRIMARY KEY NOT NULL,
    -- Names are bytes: no collation may hold two of them equal.
    username TEXT COLLATE BINARY NOT NULL UNIQUE,
    email TEXT NOT NULL,
    pw_hash TEXT NOT NULL,
    -- MD5 of the trimmed, lower-cased email address.
    avatar_hash TEXT NOT NULL,
    -- Grows when every session of the account is to end.
    session_epoch BIGINT NOT NULL DEFAULT 0
) WITHOUT ROWID;
