-- The old system's schema, word for word in its types: `string` is none of SQLite's, so numbers
-- become numbers.
CREATE TABLE user (user_id integer primary key autoincrement, username string not null,
    email string not null, pw_hash string not null);
CREATE TABLE follower (who_id integer, whom_id integer);
CREATE TABLE message (message_id integer primary key autoincrement, author_id integer not null,
    text string not null, pub_date integer, flagged integer);
