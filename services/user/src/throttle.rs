//! Sign-ins that fail are counted, so that a password cannot be guessed by trying.
//!
//! An attempt is counted before the password is looked at and forgiven when it was right: so the
//! limit holds against many attempts at once, on however many replicas. Counted is by address and
//! name, so a stranger elsewhere can lock nobody out, and with more patience by address alone.

use std::{collections::BTreeMap, future::Future};

use database::{
    db::Db,
    statement::{Access, Column, Kind, Statement},
    store::StoreError,
};

/// How many failures one address may have with one name in a window.
pub const FAILURES_PER_NAME_MAX: i64 = 10;

/// How many failures one address may have in a window: whole schools share one.
pub const FAILURES_PER_ADDRESS_MAX: i64 = 1000;

/// How long failures are counted from the first on, and remembered.
pub const WINDOW_MILLIS: i64 = 15 * 60 * 1000;

/// How many counters are forgotten by one statement: what can be done well within the time that a
/// statement has.
const PRUNE_CHUNK: usize = 1_000;

/// A sign-in about to be checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Where it comes from.
    pub address: String,
    /// The name it tries; never empty.
    pub username: String,
}

/// Whether an attempt may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may, and counts as a failure until it is forgiven.
    Admitted,
    /// Not before this time, in milliseconds since 1970.
    Held(i64),
}

/// Why an admitted attempt was no failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgiveness {
    /// The password was right: the failures before it are forgotten, too.
    Right,
    /// The password was never looked at.
    Undecided,
}

/// Where failures are counted.
pub trait AttemptStore: Send + Sync + 'static {
    /// Counts attempts, and tells which may go on.
    fn count(
        &self,
        attempts: &[Attempt],
        now_millis: i64,
    ) -> impl Future<Output = Result<Vec<Standing>, StoreError>> + Send;

    /// Takes an admitted attempt back.
    fn forgive(
        &self,
        attempt: &Attempt,
        why: Forgiveness,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Forgets what is too old to count.
    fn prune(&self, now_millis: i64) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Failures counted in an SQL database.
#[derive(Debug)]
pub struct SqlAttemptStore {
    db: Db,
    count: Statement,
    held: Statement,
    forgive: Statement,
    prune: Statement,
}

/// An address and a name, or all names: the empty one.
type Key = (String, String);

/// A counter after attempts were added to it, and when its window began.
#[derive(sqlx::FromRow)]
struct Counter {
    address: String,
    username: String,
    failures: i64,
    started_millis: i64,
}

impl SqlAttemptStore {
    /// A store over a database whose schema is up to date.
    pub fn new(db: Db) -> Self {
        use Kind::{Bool, Int, Text};
        let over = "sign_in_failure.started_millis <= excluded.started_millis - ";
        let over = format!("{over}{WINDOW_MILLIS}");
        // A counter that is full is left alone, so that holding somebody off costs no write; nor do the
        // names that are tried from an address that is held off, which would fill the table.
        let count = format!(
            "INSERT INTO sign_in_failure (address, username, failures, started_millis)
             SELECT input.address, input.username, input.added, input.now_millis FROM {{input}}
             WHERE input.username = '' OR COALESCE(
                 (SELECT of_address.failures FROM sign_in_failure AS of_address
                  WHERE of_address.address = input.address AND of_address.username = ''
                    AND of_address.started_millis > input.now_millis - {WINDOW_MILLIS}),
                 0) < {FAILURES_PER_ADDRESS_MAX}
             ON CONFLICT (address, username) DO UPDATE SET
                 failures = excluded.failures
                     + CASE WHEN {over} THEN 0 ELSE sign_in_failure.failures END,
                 started_millis = CASE WHEN {over} THEN excluded.started_millis
                     ELSE sign_in_failure.started_millis END
             WHERE {over} OR sign_in_failure.failures < CASE excluded.username
                 WHEN '' THEN {FAILURES_PER_ADDRESS_MAX} ELSE {FAILURES_PER_NAME_MAX} END
             RETURNING address, username, failures, started_millis"
        );
        let key = [("wanted_address", Text), ("wanted_username", Text)];
        Self {
            db,
            count: Statement::new(
                Access::Write,
                "UPSERT sign_in_failure",
                &count,
                &[
                    ("address", Text),
                    ("username", Text),
                    ("added", Int),
                    ("now_millis", Int),
                ],
            ),
            held: Statement::new(
                Access::Read,
                "SELECT sign_in_failure",
                "SELECT address, username, failures, started_millis
                 FROM {input} JOIN sign_in_failure
                     ON address = wanted_address AND username = wanted_username",
                &key,
            ),
            forgive: Statement::new(
                Access::Write,
                "UPDATE sign_in_failure",
                "UPDATE sign_in_failure
                 SET failures = CASE WHEN input.forget OR failures < 1 THEN 0 ELSE failures - 1 END
                 FROM {input}
                 WHERE address = wanted_address AND username = wanted_username",
                &[key[0], key[1], ("forget", Bool)],
            ),
            prune: prune(),
        }
    }

    /// The counters that were too full to count.
    async fn held(&self, keys: Vec<&Key>) -> Result<Vec<Counter>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let (addresses, names) = keys.into_iter().cloned().unzip();
        let input = vec![Column::Text(addresses), Column::Text(names)];
        self.held.fetch(&self.db, input).await
    }
}

impl AttemptStore for SqlAttemptStore {
    async fn count(
        &self,
        attempts: &[Attempt],
        now_millis: i64,
    ) -> Result<Vec<Standing>, StoreError> {
        // Ordered, so that two batches with the same counters cannot deadlock.
        let mut added: BTreeMap<Key, i64> = BTreeMap::new();
        for key in attempts.iter().flat_map(keys) {
            *added.entry(key).or_default() += 1;
        }
        let (addresses, names) = added.keys().cloned().unzip();
        let input = vec![
            Column::Text(addresses),
            Column::Text(names),
            Column::Int(added.values().copied().collect()),
            Column::Int(vec![now_millis; added.len()]),
        ];
        let counted: Vec<Counter> = self.count.fetch(&self.db, input).await?;
        let mut counters: BTreeMap<Key, (i64, i64)> = BTreeMap::new();
        for counter in counted {
            let key = (counter.address, counter.username);
            // How many there were before the first of this batch.
            let before = counter.failures - added.get(&key).copied().unwrap_or(0);
            counters.insert(key, (before, counter.started_millis + WINDOW_MILLIS));
        }
        let missing = added.keys().filter(|key| !counters.contains_key(key));
        for counter in self.held(missing.collect()).await? {
            let key = (counter.address, counter.username);
            counters.insert(key, (i64::MAX, counter.started_millis + WINDOW_MILLIS));
        }

        let mut standing = |attempt: &Attempt| {
            let mut standing = Standing::Admitted;
            for (key, most) in keys(attempt)
                .into_iter()
                .zip([FAILURES_PER_ADDRESS_MAX, FAILURES_PER_NAME_MAX])
            {
                let Some((before, until)) = counters.get_mut(&key) else {
                    continue;
                };
                if *before >= most {
                    standing = Standing::Held(*until);
                }
                *before = before.saturating_add(1);
            }
            standing
        };
        Ok(attempts.iter().map(&mut standing).collect())
    }

    async fn forgive(&self, attempt: &Attempt, why: Forgiveness) -> Result<(), StoreError> {
        let [of_address, of_name] = keys(attempt);
        let input = vec![
            Column::Text(vec![of_address.0, of_name.0]),
            Column::Text(vec![of_address.1, of_name.1]),
            Column::Bool(vec![false, why == Forgiveness::Right]),
        ];
        self.forgive.fetch::<(i64,)>(&self.db, input).await?;
        Ok(())
    }

    async fn prune(&self, now_millis: i64) -> Result<(), StoreError> {
        loop {
            let input = vec![Column::Int(vec![now_millis - WINDOW_MILLIS])];
            let found: Vec<(i64,)> = self.prune.fetch(&self.db, input).await?;
            if found.is_empty() {
                return Ok(());
            }
        }
    }
}

/// Forgets counters by their place, as many as were found: others may be about to forget the same.
/// One that somebody has begun anew meanwhile stays; no index has the sum, so the rows are still
/// reached by their place.
fn prune() -> Statement {
    const AGED: &str = "FROM {input} JOIN sign_in_failure AS aged
        ON aged.started_millis < input.before_millis";
    Statement::per_engine(
        Access::Write,
        "DELETE sign_in_failure",
        &format!(
            "DELETE FROM sign_in_failure WHERE (address, username) IN (
                 SELECT aged.address, aged.username {AGED} LIMIT {PRUNE_CHUNK})
             RETURNING CAST(1 AS BIGINT)"
        ),
        &format!(
            "WITH found AS MATERIALIZED (SELECT aged.ctid AS place {AGED} LIMIT {PRUNE_CHUNK}),
             deleted AS (
                 DELETE FROM sign_in_failure WHERE ctid = ANY (ARRAY(SELECT place FROM found))
                   AND started_millis + 0 < (SELECT input.before_millis FROM {{input}}))
             SELECT CAST(1 AS BIGINT) FROM found"
        ),
        &[("before_millis", Kind::Int)],
    )
}

/// The counters of an attempt: of its address, and of its address with its name.
fn keys(attempt: &Attempt) -> [Key; 2] {
    [
        (attempt.address.clone(), String::new()),
        (attempt.address.clone(), attempt.username.clone()),
    ]
}
