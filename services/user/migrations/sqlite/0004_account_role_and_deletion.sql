-- Whether it may flag messages.
ALTER TABLE account ADD COLUMN moderator BOOLEAN NOT NULL DEFAULT FALSE;
-- When it was deleted, in milliseconds since 1970. The row stays, so that the name stays taken.
ALTER TABLE account ADD COLUMN deleted_millis BIGINT;
-- Until then somebody carries the deletion on to what the account wrote.
ALTER TABLE account ADD COLUMN deletion_lease_millis BIGINT NOT NULL DEFAULT 0;
-- When that was gone.
ALTER TABLE account ADD COLUMN purged_millis BIGINT;

-- What was deleted of late.
CREATE INDEX account_deleted ON account (deleted_millis) WHERE deleted_millis IS NOT NULL;
-- What is to be carried on.
CREATE INDEX account_deletion_pending ON account (deletion_lease_millis)
    WHERE deleted_millis IS NOT NULL AND purged_millis IS NULL;
