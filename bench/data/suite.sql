-- The monolith's rows in the form of the suite, in views of one session of the monolith's database:
--   psql mono -q -f bench/data/suite.sql -c 'COPY (SELECT * FROM suite_account) TO STDOUT' |
--       psql bench_user -c 'COPY account (id, username, email, pw_hash, avatar_hash) FROM STDIN'
-- Users, messages and follows are the same. Only their keys differ.
\set ON_ERROR_STOP on

-- A UUIDv7 of a time in milliseconds and a unique name. A name has one key.
CREATE FUNCTION pg_temp.suite_key(millis bigint, name text) RETURNS uuid LANGUAGE sql IMMUTABLE RETURN (
    SELECT (lpad(to_hex(millis), 12, '0') || '7' || left(digits, 3) || '8' || right(digits, 15))::uuid
    FROM (SELECT md5(name)) AS hash (digits)
);

-- One account a second from the first of December 2023, before the first message.
CREATE FUNCTION pg_temp.account_key(user_id bigint) RETURNS uuid LANGUAGE sql IMMUTABLE RETURN
    pg_temp.suite_key(1701388800000 + user_id * 1000, 'user' || user_id);

CREATE TEMP VIEW suite_account AS
SELECT pg_temp.account_key(user_id) AS id, username, email, pw_hash, md5(email) AS avatar_hash
FROM users ORDER BY user_id;

CREATE TEMP VIEW suite_message AS
SELECT pg_temp.account_key(author_id) AS author_id,
       pg_temp.suite_key(pub_date * 1000, 'message' || message_id) AS id, text
FROM messages ORDER BY message_id;

CREATE TEMP VIEW suite_follow AS
SELECT pg_temp.account_key(who_id) AS follower_id, pg_temp.account_key(whom_id) AS followee_id,
       true AS following, pg_temp.suite_key(1704067200000, who_id || '-' || whom_id) AS stamp
FROM followers ORDER BY who_id, whom_id;

-- The same rows as statements for SQLite: `COPY (SELECT * FROM sqlite_account) TO STDOUT | sqlite3 user.db`.
CREATE FUNCTION pg_temp.blob(id uuid) RETURNS text LANGUAGE sql IMMUTABLE RETURN
    'x''' || replace(id::text, '-', '') || '''';

CREATE TEMP VIEW sqlite_account AS
SELECT format('INSERT INTO account (id, username, email, pw_hash, avatar_hash) VALUES (%s, %L, %L, %L, %L);',
              pg_temp.blob(id), username, email, pw_hash, avatar_hash) AS statement
FROM suite_account;

CREATE TEMP VIEW sqlite_message AS
SELECT format('INSERT INTO message (author_id, id, text) VALUES (%s, %s, %L);',
              pg_temp.blob(author_id), pg_temp.blob(id), text) AS statement
FROM suite_message;

CREATE TEMP VIEW sqlite_follow AS
SELECT format('INSERT INTO follow (follower_id, followee_id, following, stamp) VALUES (%s, %s, true, %s);',
              pg_temp.blob(follower_id), pg_temp.blob(followee_id), pg_temp.blob(stamp)) AS statement
FROM suite_follow;
