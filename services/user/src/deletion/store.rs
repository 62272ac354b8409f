//! The store of deletions, and its SQL.

use std::future::Future;

use database::{
    db::Db,
    statement::{Access, Column, Kind, Statement},
    store::StoreError,
};
use minitwit_proto::limits::{DELETED_USERS_MAX, DELETION_LEASES_MAX};
use uuid::Uuid;

/// Time after a deletion until the account's data is deleted once more, in milliseconds. It is longer than
/// a connected gateway caches an account, and longer than any write takes.
///
/// A gateway that cannot reach this service for longer keeps its cached accounts, because known names have
/// to work during such an outage. Data that this gateway stores for the account after this time remains
/// stored. No reader sees the data, because every gateway that reaches this service learns that the author
/// does not exist.
pub const GRACE_MILLIS: i64 = 60_000;

/// Time by which [`DeletionStore::deleted_since`] looks further back, in milliseconds. It covers the
/// difference between clocks and the duration of commits.
const OVERLAP_MILLIS: i64 = 60_000;

/// A deleted account.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct DeletedUser {
    /// Id of the account.
    pub id: Uuid,
    /// Name of the account.
    pub username: String,
}

/// Lease of a pending deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Id of the deleted account.
    pub account_id: Uuid,
    /// Time of the lease, in milliseconds since 1970.
    pub leased_millis: i64,
}

/// Store of deletions. Times are in milliseconds since 1970.
pub trait DeletionStore: Send + Sync + 'static {
    /// Whether an account is deleted.
    fn is_deleted(&self, id: Uuid) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Deletes all data of an account except its id and its name. The caller has the lease of the deletion
    /// until `lease_until`. Returns `false` if there is no such account.
    fn delete(
        &self,
        id: Uuid,
        now: i64,
        lease_until: i64,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Accounts deleted since a time or shortly before, at most [`DELETED_USERS_MAX`].
    fn deleted_since(
        &self,
        since: i64,
    ) -> impl Future<Output = Result<Vec<DeletedUser>, StoreError>> + Send;

    /// Deletions that are pending and not leased, at most [`DELETION_LEASES_MAX`].
    fn pending(&self, now: i64) -> impl Future<Output = Result<Vec<Uuid>, StoreError>> + Send;

    /// Leases the deletions that are not leased.
    fn lease(
        &self,
        ids: Vec<Uuid>,
        now: i64,
        until: i64,
    ) -> impl Future<Output = Result<Vec<Lease>, StoreError>> + Send;

    /// Concludes deletions. A deletion that was leased less than [`GRACE_MILLIS`] after the deletion becomes
    /// pending once more.
    fn conclude(&self, leases: &[Lease]) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Store of deletions in an SQL database.
#[derive(Debug)]
pub struct SqlDeletionStore {
    db: Db,
    is_deleted: Statement,
    delete: Statement,
    delete_failures: Statement,
    deleted_since: Statement,
    pending: Statement,
    lease: Statement,
    conclude: Statement,
}

impl SqlDeletionStore {
    /// Creates a store over a database whose schema is up to date.
    pub fn new(db: Db) -> Self {
        use Kind::{Id, Int};
        let read =
            |summary, sql: &str, columns: &[_]| Statement::new(Access::Read, summary, sql, columns);
        let write = |summary, sql: &str, columns: &[_]| {
            Statement::new(Access::Write, summary, sql, columns)
        };
        Self {
            db,
            is_deleted: read(
                "SELECT account deleted",
                "SELECT account.id FROM {input} JOIN account ON account.id = input.wanted
                 WHERE account.deleted_millis IS NOT NULL",
                &[("wanted", Id)],
            ),
            delete: write(
                "UPDATE account deleted",
                "UPDATE account
                 SET email = '', pw_hash = '', avatar_hash = '', moderator = FALSE,
                     session_epoch = account.session_epoch + 1,
                     deleted_millis = input.now_millis, deletion_lease_millis = input.until_millis
                 FROM {input}
                 WHERE account.id = input.wanted AND account.deleted_millis IS NULL
                 RETURNING account.id",
                &[("wanted", Id), ("now_millis", Int), ("until_millis", Int)],
            ),
            delete_failures: write(
                "DELETE sign_in_failure of account",
                "DELETE FROM sign_in_failure WHERE username IN (
                     SELECT account.username FROM {input}
                     JOIN account ON account.id = input.wanted)",
                &[("wanted", Id)],
            ),
            deleted_since: read(
                "SELECT account deletions",
                &format!(
                    "SELECT id, username FROM account
                     WHERE deleted_millis > (SELECT since_millis FROM {{input}})
                     ORDER BY deleted_millis LIMIT {DELETED_USERS_MAX}"
                ),
                &[("since_millis", Int)],
            ),
            pending: read(
                "SELECT account deletion pending",
                &format!(
                    "SELECT id FROM account
                     WHERE deleted_millis IS NOT NULL AND purged_millis IS NULL
                       AND deletion_lease_millis <= (SELECT now_millis FROM {{input}})
                     ORDER BY deletion_lease_millis LIMIT {DELETION_LEASES_MAX}"
                ),
                &[("now_millis", Int)],
            ),
            lease: write(
                "UPDATE account deletion lease",
                "UPDATE account SET deletion_lease_millis = input.until_millis FROM {input}
                 WHERE account.id = input.wanted AND account.purged_millis IS NULL
                   AND account.deletion_lease_millis <= input.now_millis
                 RETURNING account.id",
                &[("wanted", Id), ("now_millis", Int), ("until_millis", Int)],
            ),
            conclude: conclude(),
        }
    }

    /// Runs a statement that returns the id of each row that it found.
    async fn ids(
        &self,
        statement: &Statement,
        input: Vec<Column>,
    ) -> Result<Vec<Uuid>, StoreError> {
        let ids: Vec<(Uuid,)> = statement.fetch(&self.db, input).await?;
        Ok(ids.into_iter().map(|(id,)| id).collect())
    }

    async fn delete_failures(&self, ids: Vec<Uuid>) -> Result<(), StoreError> {
        let input = vec![Column::Id(ids)];
        self.delete_failures
            .fetch::<(i64,)>(&self.db, input)
            .await?;
        Ok(())
    }
}

/// Statement that concludes a deletion if its lease started after the grace period. Otherwise the deletion
/// becomes pending again at the end of the grace period.
fn conclude() -> Statement {
    Statement::new(
        Access::Write,
        "UPDATE account purged",
        &format!(
            "UPDATE account
             SET purged_millis = CASE
                     WHEN input.leased_millis >= account.deleted_millis + {GRACE_MILLIS}
                     THEN input.leased_millis END,
                 deletion_lease_millis = account.deleted_millis + {GRACE_MILLIS}
             FROM {{input}}
             WHERE account.id = input.wanted AND account.deleted_millis IS NOT NULL
               AND account.purged_millis IS NULL"
        ),
        &[("wanted", Kind::Id), ("leased_millis", Kind::Int)],
    )
}

impl DeletionStore for SqlDeletionStore {
    async fn is_deleted(&self, id: Uuid) -> Result<bool, StoreError> {
        let input = vec![Column::Id(vec![id])];
        Ok(!self.ids(&self.is_deleted, input).await?.is_empty())
    }

    async fn delete(&self, id: Uuid, now: i64, lease_until: i64) -> Result<bool, StoreError> {
        let input = vec![
            Column::Id(vec![id]),
            Column::Int(vec![now]),
            Column::Int(vec![lease_until]),
        ];
        if self.ids(&self.delete, input).await?.is_empty() {
            return self.is_deleted(id).await;
        }
        self.delete_failures(vec![id]).await?;
        Ok(true)
    }

    async fn deleted_since(&self, since: i64) -> Result<Vec<DeletedUser>, StoreError> {
        let input = vec![Column::Int(vec![since - OVERLAP_MILLIS])];
        self.deleted_since.fetch(&self.db, input).await
    }

    async fn pending(&self, now: i64) -> Result<Vec<Uuid>, StoreError> {
        self.ids(&self.pending, vec![Column::Int(vec![now])]).await
    }

    async fn lease(&self, ids: Vec<Uuid>, now: i64, until: i64) -> Result<Vec<Lease>, StoreError> {
        let count = ids.len();
        let input = vec![
            Column::Id(ids),
            Column::Int(vec![now; count]),
            Column::Int(vec![until; count]),
        ];
        let leased = self.ids(&self.lease, input).await?;
        let lease = |account_id| Lease {
            account_id,
            leased_millis: now,
        };
        Ok(leased.into_iter().map(lease).collect())
    }

    async fn conclude(&self, leases: &[Lease]) -> Result<(), StoreError> {
        let ids: Vec<Uuid> = leases.iter().map(|lease| lease.account_id).collect();
        let times = leases.iter().map(|lease| lease.leased_millis).collect();
        let input = vec![Column::Id(ids.clone()), Column::Int(times)];
        self.conclude.fetch::<(i64,)>(&self.db, input).await?;
        self.delete_failures(ids).await
    }
}
