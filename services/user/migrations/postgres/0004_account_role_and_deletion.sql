ALTER TABLE account
    -- Whether it may flag messages.
    ADD COLUMN moderator boolean NOT NULL DEFAULT false,
    -- When it was deleted, in milliseconds since 1970. The row stays, so that the name stays taken.
    ADD COLUMN deleted_millis bigint,
    -- Until then somebody carries the deletion on to what the account wrote.
    ADD COLUMN deletion_lease_millis bigint NOT NULL DEFAULT 0,
    -- When that was gone.
    ADD COLUMN purged_millis bigint;

-- What was deleted of late.
CREATE INDEX account_deleted ON account (deleted_millis) WHERE deleted_millis IS NOT NULL;
-- What is to be carried on.
CREATE INDEX account_deletion_pending ON account (deletion_lease_millis)
    WHERE deleted_millis IS NOT NULL AND purged_millis IS NULL;
