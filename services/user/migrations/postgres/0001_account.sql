CREATE TABLE account (
    id uuid PRIMARY KEY,
    -- Names are bytes: no collation may hold two of them equal.
    username text COLLATE "C" NOT NULL UNIQUE,
    email text NOT NULL,
    pw_hash text NOT NULL,
    -- MD5 of the trimmed, lower-cased email address.
    avatar_hash text NOT NULL,
    -- Grows when every session of the account is to end.
    session_epoch bigint NOT NULL DEFAULT 0
);
