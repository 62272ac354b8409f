-- The version of each author's timeline: the hashes of the messages that are not flagged, folded. Whoever
-- stores, flags or deletes a message folds it in or out, in the same statement.
CREATE TABLE timeline (
    author_id uuid PRIMARY KEY,
    version bigint NOT NULL
-- Room on each page, so that a new version needs no new entry in the index.
) WITH (fillfactor = 50);

INSERT INTO timeline (author_id, version)
SELECT author_id, bit_xor(uuid_hash_extended(id, 0)) FROM message WHERE NOT flagged GROUP BY author_id;
