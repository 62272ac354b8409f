//! The store of operators, and its SQL.

use std::future::Future;

use database::{
    db::Db,
    statement::{Access, Column, Kind, Statement},
    store::StoreError,
};
use uuid::Uuid;

use crate::{
    password::PasswordHash,
    store::{USER_COLUMNS, User, UserRow},
};

/// All stored data of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountExport {
    /// The account as other users see it.
    pub user: User,
    /// Email address.
    pub email: String,
    /// Hash of the password.
    pub pw_hash: PasswordHash,
    /// Failed sign-ins with the account's name.
    pub failures: Vec<SignInFailures>,
}

/// Failed sign-ins from one address.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct SignInFailures {
    /// IP address of the browser.
    pub address: String,
    /// Number of failures.
    pub failures: i64,
    /// Time of the first counted failure, in milliseconds since 1970.
    pub started_millis: i64,
}

/// Store of accounts for operators.
pub trait OperatorStore: Send + Sync + 'static {
    /// Reads all stored data of an account.
    fn export(
        &self,
        name: String,
    ) -> impl Future<Output = Result<Option<AccountExport>, StoreError>> + Send;

    /// Replaces the hash of a password and ends all sessions. Returns `false` if there is no such account.
    fn reset(
        &self,
        name: String,
        hash: &PasswordHash,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Gives an account the role of a moderator, or removes it. Returns `false` if there is no such
    /// account.
    fn set_moderator(
        &self,
        name: String,
        moderator: bool,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

/// Store of accounts for operators in an SQL database.
#[derive(Debug)]
pub struct SqlOperatorStore {
    db: Db,
    export: Statement,
    failures: Statement,
    reset: Statement,
    set_moderator: Statement,
}

#[derive(sqlx::FromRow)]
struct ExportRow {
    #[sqlx(flatten)]
    user: UserRow,
    email: String,
    pw_hash: String,
}

impl SqlOperatorStore {
    /// Creates a store over a database whose schema is up to date.
    pub fn new(db: Db) -> Self {
        use Kind::{Bool, Text};
        Self {
            db,
            export: Statement::new(
                Access::Read,
                "SELECT account export",
                &format!(
                    "SELECT {USER_COLUMNS}, account.email, account.pw_hash
                     FROM {{input}} JOIN account ON account.username = input.wanted
                     WHERE account.deleted_millis IS NULL"
                ),
                &[("wanted", Text)],
            ),
            failures: Statement::new(
                Access::Read,
                "SELECT sign_in_failure export",
                "SELECT address, failures, started_millis
                 FROM {input} JOIN sign_in_failure ON username = input.wanted ORDER BY address",
                &[("wanted", Text)],
            ),
            reset: Statement::new(
                Access::Write,
                "UPDATE account reset",
                "UPDATE account
                 SET pw_hash = input.new, session_epoch = account.session_epoch + 1 FROM {input}
                 WHERE account.username = input.wanted AND account.deleted_millis IS NULL
                 RETURNING account.id",
                &[("wanted", Text), ("new", Text)],
            ),
            set_moderator: Statement::new(
                Access::Write,
                "UPDATE account moderator",
                "UPDATE account SET moderator = input.is_moderator FROM {input}
                 WHERE account.username = input.wanted AND account.deleted_millis IS NULL
                 RETURNING account.id",
                &[("wanted", Text), ("is_moderator", Bool)],
            ),
        }
    }

    /// Runs a statement that returns the id of each row that it changed. Returns whether it changed any.
    async fn changes_any(
        &self,
        statement: &Statement,
        input: Vec<Column>,
    ) -> Result<bool, StoreError> {
        let ids: Vec<(Uuid,)> = statement.fetch(&self.db, input).await?;
        Ok(!ids.is_empty())
    }
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
        let input = vec![Column::Text(vec![name]), hash];
        self.changes_any(&self.reset, input).await
    }

    async fn set_moderator(&self, name: String, moderator: bool) -> Result<bool, StoreError> {
        let input = vec![Column::Text(vec![name]), Column::Bool(vec![moderator])];
        self.changes_any(&self.set_moderator, input).await
    }
}
