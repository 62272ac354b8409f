//! The store of accounts, and its SQL.

use std::{
    collections::HashSet,
    fmt::{self, Debug, Formatter},
    future::Future,
};

use database::{
    db::Db,
    statement::{Access, Column, Kind, Statement},
    store::StoreError,
};
use uuid::Uuid;

use crate::{avatar, password::PasswordHash};

/// An account as other users may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Id of the account.
    pub id: Uuid,
    /// Name of the account.
    pub username: String,
    /// Seed of the avatar.
    pub avatar_hash: String,
    /// Epoch of the sessions. When it grows, all sessions of the account end.
    pub session_epoch: i64,
    /// Whether the account may flag messages.
    pub moderator: bool,
}

/// An account to store. Its id is the key of the write.
#[derive(Clone, PartialEq, Eq)]
pub struct NewAccount {
    /// Key of the write, the same for all attempts.
    pub id: Uuid,
    /// Name of the account.
    pub username: String,
    /// Email address. It leaves the service only in an export.
    pub email: String,
    /// Hash of the password.
    pub pw_hash: PasswordHash,
}

impl Debug for NewAccount {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("NewAccount")
            .field("id", &self.id)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// Outcome of storing an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InsertOutcome {
    /// The account is stored, by this write or by an earlier attempt of it.
    Stored(User),
    /// The name belongs to another account, which may be deleted.
    NameTaken,
    /// The id belongs to an account with another name.
    IdTaken,
}

/// An account with the hash of its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The account.
    pub user: User,
    /// Hash of the password.
    pub pw_hash: PasswordHash,
}

/// Store of accounts. Each method that takes a list returns one result per item, in the order of the
/// list.
pub trait UserStore: Send + Sync + 'static {
    /// Stores accounts. If several have the same name, the first is stored.
    fn insert(
        &self,
        accounts: Vec<NewAccount>,
    ) -> impl Future<Output = Result<Vec<InsertOutcome>, StoreError>> + Send;

    /// Finds accounts by their exact names.
    fn find_by_name(
        &self,
        names: Vec<String>,
    ) -> impl Future<Output = Result<Vec<Option<User>>, StoreError>> + Send;

    /// Finds accounts by their ids.
    fn find_by_id(
        &self,
        ids: Vec<Uuid>,
    ) -> impl Future<Output = Result<Vec<Option<User>>, StoreError>> + Send;

    /// Finds credentials by the names of their accounts.
    fn find_credentials(
        &self,
        names: Vec<String>,
    ) -> impl Future<Output = Result<Vec<Option<Credential>>, StoreError>> + Send;

    /// Replaces the hash of a password if it is `old`. Otherwise returns `false`.
    fn replace_hash(
        &self,
        id: Uuid,
        old: &PasswordHash,
        new: &PasswordHash,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Ends all sessions of an account if their epoch is `epoch`. Otherwise returns `false`. Also replaces
    /// the hash of the password if `new` is given.
    fn end_sessions(
        &self,
        id: Uuid,
        epoch: i64,
        new: Option<&PasswordHash>,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

/// Store of accounts in an SQL database.
#[derive(Debug)]
pub struct SqlUserStore {
    db: Db,
    insert: Statement,
    find_by_name: Statement,
    find_by_id: Statement,
    find_credentials: Statement,
    find_taken: Statement,
    replace_hash: Statement,
    end_sessions: Statement,
}

impl SqlUserStore {
    /// Creates a store over a database whose schema is up to date.
    pub fn new(db: Db) -> Self {
        use Kind::{Id, Int, Text};
        let find = |summary, columns: &str, key: &str, kind| {
            let sql = format!(
                "SELECT {columns} FROM {{input}} JOIN account ON account.{key} = input.wanted
                 WHERE account.deleted_millis IS NULL"
            );
            Statement::new(Access::Read, summary, &sql, &[("wanted", kind)])
        };
        Self {
            db,
            insert: Statement::new(
                Access::Write,
                "INSERT account",
                "INSERT INTO account (id, username, email, pw_hash, avatar_hash)
                 SELECT id, username, email, pw_hash, avatar_hash FROM {input} WHERE true
                 ON CONFLICT DO NOTHING
                 RETURNING id, username",
                &[
                    ("id", Id),
                    ("username", Text),
                    ("email", Text),
                    ("pw_hash", Text),
                    ("avatar_hash", Text),
                ],
            ),
            find_by_name: find("SELECT account by name", USER_COLUMNS, "username", Text),
            find_by_id: find("SELECT account by id", USER_COLUMNS, "id", Id),
            find_credentials: find(
                "SELECT account credential",
                &format!("{USER_COLUMNS}, account.pw_hash"),
                "username",
                Text,
            ),
            find_taken: Statement::new(
                Access::Read,
                "SELECT account of taken name",
                &format!(
                    "SELECT {USER_COLUMNS}, account.deleted_millis FROM {{input}}
                     JOIN account ON account.username = input.wanted"
                ),
                &[("wanted", Text)],
            ),
            replace_hash: Statement::new(
                Access::Write,
                "UPDATE account hash",
                "UPDATE account SET pw_hash = input.new FROM {input}
                 WHERE account.id = input.wanted AND account.pw_hash = input.old
                 RETURNING account.id",
                &[("wanted", Id), ("old", Text), ("new", Text)],
            ),
            end_sessions: Statement::new(
                Access::Write,
                "UPDATE account epoch",
                "UPDATE account SET session_epoch = account.session_epoch + 1,
                     pw_hash = CASE input.new WHEN '' THEN account.pw_hash ELSE input.new END
                 FROM {input}
                 WHERE account.id = input.wanted AND account.session_epoch = input.epoch
                   AND account.deleted_millis IS NULL
                 RETURNING account.id",
                &[("wanted", Id), ("epoch", Int), ("new", Text)],
            ),
        }
    }

    async fn find(
        &self,
        statement: &Statement,
        wanted: Column,
        count: usize,
    ) -> Result<Vec<Option<User>>, StoreError> {
        let rows: Vec<UserRow> = statement.fetch(&self.db, vec![wanted]).await?;
        Ok(in_order(
            count,
            rows.into_iter().map(|row| (row.ord, row.into())),
        ))
    }
}

impl UserStore for SqlUserStore {
    async fn insert(&self, accounts: Vec<NewAccount>) -> Result<Vec<InsertOutcome>, StoreError> {
        // The accounts are sorted by name, so two batches with the same names cannot deadlock. The sort is
        // stable, so the first account of a name stays first.
        let mut ordered: Vec<&NewAccount> = accounts.iter().collect();
        ordered.sort_by(|one, other| one.username.cmp(&other.username));
        let text = |field: fn(&NewAccount) -> String| {
            Column::Text(ordered.iter().map(|account| field(account)).collect())
        };
        let input = vec![
            Column::Id(ordered.iter().map(|account| account.id).collect()),
            text(|account| account.username.clone()),
            text(|account| account.email.clone()),
            text(|account| account.pw_hash.as_str().to_owned()),
            text(|account| avatar::hash(&account.email)),
        ];
        let inserted: Vec<(Uuid, String)> = self.insert.fetch(&self.db, input).await?;
        let inserted: HashSet<(Uuid, String)> = inserted.into_iter().collect();

        let (mut outcomes, mut conflicts) = (Vec::with_capacity(accounts.len()), Vec::new());
        for (index, account) in accounts.into_iter().enumerate() {
            let (id, avatar_hash) = (account.id, avatar::hash(&account.email));
            let key = (id, account.username);
            if !inserted.contains(&key) {
                conflicts.push((index, id, key.1.clone()));
            }
            outcomes.push(InsertOutcome::Stored(User {
                id,
                username: key.1,
                avatar_hash,
                session_epoch: 0,
                moderator: false,
            }));
        }
        if !conflicts.is_empty() {
            let names = conflicts.iter().map(|(.., name)| name.clone()).collect();
            let input = vec![Column::Text(names)];
            let taken: Vec<TakenRow> = self.find_taken.fetch(&self.db, input).await?;
            let taken = in_order(
                conflicts.len(),
                taken.into_iter().map(|row| (row.user.ord, row)),
            );
            for ((index, id, _), taken) in conflicts.into_iter().zip(taken) {
                outcomes[index] = match taken {
                    Some(row) if row.user.id == id && row.deleted_millis.is_none() => {
                        InsertOutcome::Stored(row.user.into())
                    }
                    Some(_) => InsertOutcome::NameTaken,
                    None => InsertOutcome::IdTaken,
                };
            }
        }
        Ok(outcomes)
    }

    async fn find_by_name(&self, names: Vec<String>) -> Result<Vec<Option<User>>, StoreError> {
        let count = names.len();
        self.find(&self.find_by_name, Column::Text(names), count)
            .await
    }

    async fn find_by_id(&self, ids: Vec<Uuid>) -> Result<Vec<Option<User>>, StoreError> {
        let count = ids.len();
        self.find(&self.find_by_id, Column::Id(ids), count).await
    }

    async fn find_credentials(
        &self,
        names: Vec<String>,
    ) -> Result<Vec<Option<Credential>>, StoreError> {
        let count = names.len();
        let rows: Vec<CredentialRow> = self
            .find_credentials
            .fetch(&self.db, vec![Column::Text(names)])
            .await?;
        let credentials = rows.into_iter().map(|row| {
            let pw_hash = PasswordHash::stored(row.pw_hash);
            let user = row.user;
            (
                user.ord,
                Credential {
                    user: user.into(),
                    pw_hash,
                },
            )
        });
        Ok(in_order(count, credentials))
    }

    async fn replace_hash(
        &self,
        id: Uuid,
        old: &PasswordHash,
        new: &PasswordHash,
    ) -> Result<bool, StoreError> {
        let text = |hash: &PasswordHash| Column::Text(vec![hash.as_str().to_owned()]);
        let input = vec![Column::Id(vec![id]), text(old), text(new)];
        let replaced: Vec<(Uuid,)> = self.replace_hash.fetch(&self.db, input).await?;
        Ok(!replaced.is_empty())
    }

    async fn end_sessions(
        &self,
        id: Uuid,
        epoch: i64,
        new: Option<&PasswordHash>,
    ) -> Result<bool, StoreError> {
        let new = new.map_or_else(String::new, |hash| hash.as_str().to_owned());
        let input = vec![
            Column::Id(vec![id]),
            Column::Int(vec![epoch]),
            Column::Text(vec![new]),
        ];
        let ended: Vec<(Uuid,)> = self.end_sessions.fetch(&self.db, input).await?;
        Ok(!ended.is_empty())
    }
}

/// Columns of a [`UserRow`].
pub(crate) const USER_COLUMNS: &str = "ord, account.id, account.username, account.avatar_hash,
    account.session_epoch, account.moderator";

/// An account, and the position from 1 of its input row.
#[derive(sqlx::FromRow)]
pub(crate) struct UserRow {
    ord: i64,
    id: Uuid,
    username: String,
    avatar_hash: String,
    session_epoch: i64,
    moderator: bool,
}

/// The account of a taken name, which may be deleted.
#[derive(sqlx::FromRow)]
struct TakenRow {
    #[sqlx(flatten)]
    user: UserRow,
    deleted_millis: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct CredentialRow {
    #[sqlx(flatten)]
    user: UserRow,
    pw_hash: String,
}

impl From<UserRow> for User {
    fn from(row: UserRow) -> Self {
        Self {
            id: row.id,
            username: row.username,
            avatar_hash: row.avatar_hash,
            session_epoch: row.session_epoch,
            moderator: row.moderator,
        }
    }
}

/// Sorts the results of some of `count` input rows by the position of the row, from 1.
fn in_order<T>(count: usize, found: impl Iterator<Item = (i64, T)>) -> Vec<Option<T>> {
    let mut results: Vec<Option<T>> = (0..count).map(|_| None).collect();
    for (ord, result) in found {
        let index = usize::try_from(ord - 1).expect("input rows are counted from 1");
        results[index] = Some(result);
    }
    results
}
