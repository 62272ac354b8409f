-- A row a client, rewritten with nearly every request: room on the page keeps its old versions from
-- spreading, and no index but the key lets them be cleared away at once.
CREATE TABLE api_client (
    client text COLLATE "C" PRIMARY KEY,
    latest bigint NOT NULL,
    -- The key of the last write.
    stamp uuid NOT NULL
) WITH (fillfactor = 50);
