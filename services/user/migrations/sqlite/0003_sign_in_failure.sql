-- Sign-ins that failed, by where they came from and the name they tried; the empty name counts all
-- of an address.
CREATE TABLE sign_in_failure (
    address TEXT COLLATE BINARY NOT NULL,
    username TEXT COLLATE BINARY NOT NULL,
    failures BIGINT NOT NULL,
    -- When the window began in which they are counted, in milliseconds since 1970.
    started_millis BIGINT NOT NULL,
    PRIMARY KEY (address, username)
) WITHOUT ROWID;

-- What is too old to count is cleared away.
CREATE INDEX sign_in_failure_started ON sign_in_failure (started_millis);
