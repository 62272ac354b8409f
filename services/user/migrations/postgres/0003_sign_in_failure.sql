-- Sign-ins that failed, by where they came from and the name they tried; the empty name counts all
-- of an address.
CREATE TABLE sign_in_failure (
    address text COLLATE "C" NOT NULL,
    username text COLLATE "C" NOT NULL,
    failures bigint NOT NULL,
    -- When the window began in which they are counted, in milliseconds since 1970.
    started_millis bigint NOT NULL,
    PRIMARY KEY (address, username)
) WITH (fillfactor = 50);

-- What is too old to count is cleared away.
CREATE INDEX sign_in_failure_started ON sign_in_failure (started_millis);
