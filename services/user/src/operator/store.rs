//! What operators do with accounts, in SQL.

use std::future::Future;

use database::{
    db::Db,
    statement::{Access, Column, Kind, Statement},
    store::StoreError,
};
use minitwit_proto::limits::{DELETED_USERS_MAX, DELETION_LEASES_MAX};
use uuid::Uuid;

use crate::{
    password::PasswordHash,
    store::{User, UserRow},
};

/// How long after a deletion what the account wrote is looked for once more, in milliseconds: longer
/// than a gateway that can ask goes on believing in the account, and than any write may be under way.
///
/// A gateway that cannot reach this service for longer goes on believing: it could only forget every
/// name, but known names are to work while this service is away. What it takes for the account after
/// this time stays stored, though nobody sees it: a gateway that asks is told that there is no author.
pub const GRACE_MILLIS: i64 = 60_000;

/// How far back deletions are told again, in milliseconds: clocks differ, and commits take time.
const OVERLAP_MILLIS: i64 = 60_000;

/// Everything that is kept of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountExport {
    /// The account as others see it.
    pub user: User,
    /// The email address.
    pub email: String,
    /// What the password is checked against.
    pub pw_hash: PasswordHash,
    /// Failed sign-ins under its name.
    pub failures: Vec<SignInFailures>,
}

/// Failed sign-ins from one address.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct SignInFailures {
    /// Where they came from.
    pub address: String,
    /// How many.
    pub failures: i64,
    /// Since when they are counted, in milliseconds since 1970.
    pub started_millis: i64,
}

/// An account that is gone.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Deleted {
    /// Its id.
    pub id: Uuid,
    /// The name that it had.
    pub username: String,
}

/// A deletion in somebody's hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The account.
    pub account_id: Uuid,
    /// When it was handed out, in milliseconds since 1970.
    pub leased_millis: i64,
}

/// What operators do with accounts. Times are in milliseconds since 1970.
pub trait OperatorStore: Send + Sync + 'static {
    /// Everything that is kept of an account.
    fn export(
        &self,
        name: String,
    ) -> impl Future<Output = Result<Option<AccountExport>, StoreError>> + Send;

    /// Replaces the hash of a password, whatever it was, and ends every session.
    fn reset(
        &self,
        name: String,
        hash: &PasswordHash,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Makes an account a moderator, or ordinary.
    fn set_moderator(
        &self,
        name: String,
        moderator: bool,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Whether an account was deleted.
    fn is_deleted(&self, id: Uuid) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Deletes an account: all but its id and its name is forgotten. The deletion is in the asker's
    /// hand until `lease_until`. `false`: there is none.
    fn delete(
        &self,
        id: Uuid,
        now: i64,
        lease_until: i64,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Accounts deleted since a time and a little before, at most [`DELETED_USERS_MAX`].
    fn deleted_since(
        &self,
        since: i64,
    ) -> impl Future<Output = Result<Vec<Deleted>, StoreError>> + Send;

    /// Deletions in nobody's hand.
    fn pending(&self, now: i64) -> impl Future<Output = Result<Vec<Uuid>, StoreError>> + Send;

    /// Hands deletions out, unless somebody has them already.
    fn lease(
        &self,
        ids: Vec<Uuid>,
        now: i64,
        until: i64,
    ) -> impl Future<Output = Result<Vec<Lease>, StoreError>> + Send;

    /// Takes note that what accounts wrote is gone. Those handed out before the time of grace was
    /// over are handed out once more.
    fn conclude(&self, leases: &[Lease]) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// What operators do with the accounts of an SQL database.
#[derive(Debug)]
pub struct SqlOperatorStore {
    db: Db,
    export: Statement,
    failures: Statement,
    reset: Statement,
    set_moderator: Statement,
    is_deleted: Statement,
    delete: Statement,
    forget_failures: Statement,
    deleted_since: Statement,
    pending: Statement,
    lease: Statement,
    conclude: Statement,
}

#[derive(sqlx::FromRow)]
struct ExportRow {
    #[sqlx(flatten)]
    user: UserRow,
    email: String,
    pw_hash: String,
}

impl SqlOperatorStore {
    /// A store over a database whose schema is up to date.
    pub fn new(db: Db) -> Self {
        use Kind::{Bool, Id, Int, Text};
        let read =
            |summary, sql: &str, columns: &[_]| Statement::new(Access::Read, summary, sql, columns);
        let write = |summary, sql: &str, columns: &[_]| {
            Statement::new(Access::Write, summary, sql, columns)
        };
        Self {
            db,
            export: read(
                "SELECT account export",
                &format!(
                    "SELECT {}, account.email, account.pw_hash
                     FROM {{input}} JOIN account ON account.username = input.wanted
                     WHERE account.deleted_millis IS NULL",
                    crate::store::USER
                ),
                &[("wanted", Text)],
            ),
            failures: read(
                "SELECT sign_in_failure export",
                "SELECT address, failures, started_millis
                 FROM {input} JOIN sign_in_failure ON username = input.wanted ORDER BY address",
                &[("wanted", Text)],
            ),
            reset: write(
                "UPDATE account reset",
                "UPDATE account
                 SET pw_hash = input.new, session_epoch = account.session_epoch + 1 FROM {input}
                 WHERE account.username = input.wanted AND account.deleted_millis IS NULL
                 RETURNING account.id",
                &[("wanted", Text), ("new", Text)],
            ),
            set_moderator: write(
                "UPDATE account moderator",
                "UPDATE account SET moderator = input.is_moderator FROM {input}
                 WHERE account.username = input.wanted AND account.deleted_millis IS NULL
                 RETURNING account.id",
                &[("wanted", Text), ("is_moderator", Bool)],
            ),
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
            forget_failures: write(
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

    /// Runs a statement that answers with an id for each row that it has met.
    async fn ids(
        &self,
        statement: &Statement,
        input: Vec<Column>,
    ) -> Result<Vec<Uuid>, StoreError> {
        let ids: Vec<(Uuid,)> = statement.fetch(&self.db, input).await?;
        Ok(ids.into_iter().map(|(id,)| id).collect())
    }

    async fn any(&self, statement: &Statement, input: Vec<Column>) -> Result<bool, StoreError> {
        Ok(!self.ids(statement, input).await?.is_empty())
    }

    async fn forget_failures(&self, ids: Vec<Uuid>) -> Result<(), StoreError> {
        let input = vec![Column::Id(ids)];
        self.forget_failures
            .fetch::<(i64,)>(&self.db, input)
            .await?;
        Ok(())
    }
}

/// What was handed out too early to be the last word is to be handed out again.
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

impl OperatorStore for SqlOperatorStore {
    async fn export(&self, name: String) -> Result<Option<AccountExport>, StoreError> {
        let input = vec![Column::Text(vec![name.clone()])];
        let rows: Vec<ExportRow> = self.export.fetch(&self.db, input).await?;
        let Some(row) = rows.into_iter().next() else {
            return Ok(None);
        };
        let input = vec![Column::Text(vec![name])];
        Ok(Some(AccountExport {
            user: row.user.into(),
            email: row.email,
            pw_hash: PasswordHash::stored(row.pw_hash),
            failures: self.failures.fetch(&self.db, input).await?,
        }))
    }

    async fn reset(&self, name: String, hash: &PasswordHash) -> Result<bool, StoreError> {
        let hash = Column::Text(vec![hash.as_str().to_owned()]);
        self.any(&self.reset, vec![Column::Text(vec![name]), hash])
            .await
    }

    async fn set_moderator(&self, name: String, moderator: bool) -> Result<bool, StoreError> {
        let input = vec![Column::Text(vec![name]), Column::Bool(vec![moderator])];
        self.any(&self.set_moderator, input).await
    }

    async fn is_deleted(&self, id: Uuid) -> Result<bool, StoreError> {
        self.any(&self.is_deleted, vec![Column::Id(vec![id])]).await
    }

    async fn delete(&self, id: Uuid, now: i64, lease_until: i64) -> Result<bool, StoreError> {
        let input = vec![
            Column::Id(vec![id]),
            Column::Int(vec![now]),
            Column::Int(vec![lease_until]),
        ];
        if !self.any(&self.delete, input).await? {
            return self.is_deleted(id).await;
        }
        self.forget_failures(vec![id]).await?;
        Ok(true)
    }

    async fn deleted_since(&self, since: i64) -> Result<Vec<Deleted>, StoreError> {
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
        self.forget_failures(ids).await
    }
}
