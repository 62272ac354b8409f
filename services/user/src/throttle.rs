//! Counters of failed sign-ins, which limit how many passwords an attacker can try.
//!
//! An attempt is counted before the password is checked, and the count is reverted if the password was
//! correct. So the limit holds for concurrent attempts on any number of replicas. One counter is per
//! address and name, so an attacker at another address cannot lock an account. Another counter, with a
//! higher limit, is per address.

use std::{collections::BTreeMap, future::Future};

use database::{
    db::Db,
    statement::{Access, Column, Kind, Statement},
    store::StoreError,
};

/// Maximum number of failures of one address with one name in a window.
pub const FAILURES_PER_NAME_MAX: i64 = 10;

/// Maximum number of failures of one address in a window. A whole school may share one address.
pub const FAILURES_PER_ADDRESS_MAX: i64 = 1000;

/// Length of a window, in milliseconds. It starts with the first failure.
pub const WINDOW_MILLIS: i64 = 15 * 60 * 1000;

/// Maximum number of expired counters that one statement deletes. A statement of this size needs much less
/// than the statement timeout.
const PRUNED_COUNTERS_MAX: usize = 1_000;

/// A sign-in before its password is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// IP address of the browser.
    pub address: String,
    /// Name of the account. Never empty.
    pub username: String,
}

/// Decision whether the password of an attempt is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The password is checked. The attempt counts as a failure until it is uncounted.
    Admitted,
    /// The attempt is refused. The limit ends at this time, in milliseconds since 1970.
    Blocked(i64),
}

/// Outcome of an admitted attempt that is not a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// The password was right. The earlier failures with the name are removed as well.
    Success,
    /// The password was not checked.
    Undecided,
}

/// Store of the counters.
pub trait AttemptStore: Send + Sync + 'static {
    /// Counts attempts and decides which are admitted.
    fn count(
        &self,
        attempts: &[Attempt],
        now_millis: i64,
    ) -> impl Future<Output = Result<Vec<Admission>, StoreError>> + Send;

    /// Uncounts an admitted attempt that was not a failure.
    fn uncount(
        &self,
        attempt: &Attempt,
        outcome: AttemptOutcome,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Deletes expired counters.
    fn prune(&self, now_millis: i64) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Counters in an SQL database.
#[derive(Debug)]
pub struct SqlAttemptStore {
    db: Db,
    count: Statement,
    full: Statement,
    uncount: Statement,
    prune: Statement,
}

/// Key of a counter: an address and a name. The empty name stands for all names.
type Key = (String, String);

/// Counter after attempts were added, with the start of its window.
#[derive(sqlx::FromRow)]
struct Counter {
    address: String,
    username: String,
    failures: i64,
    started_millis: i64,
}

impl SqlAttemptStore {
    /// Creates a store over a database whose schema is up to date.
    pub fn new(db: Db) -> Self {
        use Kind::{Bool, Int, Text};
        let expired = "sign_in_failure.started_millis <= excluded.started_millis - ";
        let expired = format!("{expired}{WINDOW_MILLIS}");
        // A full counter is not updated, so a blocked attempt costs no write. Names that are tried from a
        // blocked address are not inserted, because they would fill the table.
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
                     + CASE WHEN {expired} THEN 0 ELSE sign_in_failure.failures END,
                 started_millis = CASE WHEN {expired} THEN excluded.started_millis
                     ELSE sign_in_failure.started_millis END
             WHERE {expired} OR sign_in_failure.failures < CASE excluded.username
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
            full: Statement::new(
                Access::Read,
                "SELECT sign_in_failure",
                "SELECT address, username, failures, started_millis
                 FROM {input} JOIN sign_in_failure
                     ON address = wanted_address AND username = wanted_username",
                &key,
            ),
            uncount: Statement::new(
                Access::Write,
                "UPDATE sign_in_failure",
                "UPDATE sign_in_failure
                 SET failures = CASE WHEN input.reset OR failures < 1 THEN 0 ELSE failures - 1 END
                 FROM {input}
                 WHERE address = wanted_address AND username = wanted_username",
                &[key[0], key[1], ("reset", Bool)],
            ),
            prune: prune(),
        }
    }

    /// Full counters, which the attempts of a batch did not update.
    async fn full(&self, keys: Vec<&Key>) -> Result<Vec<Counter>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let (addresses, names) = keys.into_iter().cloned().unzip();
        let input = vec![Column::Text(addresses), Column::Text(names)];
        self.full.fetch(&self.db, input).await
    }
}

impl AttemptStore for SqlAttemptStore {
    async fn count(
        &self,
        attempts: &[Attempt],
        now_millis: i64,
    ) -> Result<Vec<Admission>, StoreError> {
        // The keys are sorted, so two batches with the same counters cannot deadlock.
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
            // Number of failures before the first attempt of this batch.
            let before = counter.failures - added.get(&key).copied().unwrap_or(0);
            counters.insert(key, (before, counter.started_millis + WINDOW_MILLIS));
        }
        let missing = added.keys().filter(|key| !counters.contains_key(key));
        for counter in self.full(missing.collect()).await? {
            let key = (counter.address, counter.username);
            counters.insert(key, (i64::MAX, counter.started_millis + WINDOW_MILLIS));
        }

        let admission = |attempt: &Attempt| {
            let mut admission = Admission::Admitted;
            for (key, failures_max) in keys(attempt)
                .into_iter()
                .zip([FAILURES_PER_ADDRESS_MAX, FAILURES_PER_NAME_MAX])
            {
                let Some((before, until)) = counters.get_mut(&key) else {
                    continue;
                };
                if *before >= failures_max {
                    admission = Admission::Blocked(*until);
                }
                *before = before.saturating_add(1);
            }
            admission
        };
        Ok(attempts.iter().map(admission).collect())
    }

    async fn uncount(&self, attempt: &Attempt, outcome: AttemptOutcome) -> Result<(), StoreError> {
        let [of_address, of_name] = keys(attempt);
        let input = vec![
            Column::Text(vec![of_address.0, of_name.0]),
            Column::Text(vec![of_address.1, of_name.1]),
            Column::Bool(vec![false, outcome == AttemptOutcome::Success]),
        ];
        self.uncount.fetch::<(i64,)>(&self.db, input).await?;
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

/// Statement that deletes expired counters and returns a row for each counter that it found.
///
/// On PostgreSQL the rows are deleted by their physical row ids. A concurrent statement may delete a found
/// row first, so the number of found rows, and not of deleted rows, shows whether more may be left. A
/// counter whose window was restarted meanwhile stays. The sum `started_millis + 0` matches no index, so
/// the rows are still accessed by their row ids.
fn prune() -> Statement {
    const EXPIRED: &str = "FROM {input} JOIN sign_in_failure AS expired
        ON expired.started_millis < input.before_millis";
    Statement::per_engine(
        Access::Write,
        "DELETE sign_in_failure",
        &format!(
            "DELETE FROM sign_in_failure WHERE (address, username) IN (
                 SELECT expired.address, expired.username {EXPIRED} LIMIT {PRUNED_COUNTERS_MAX})
             RETURNING CAST(1 AS BIGINT)"
        ),
        &format!(
            "WITH found AS MATERIALIZED (SELECT expired.ctid AS row_id {EXPIRED} LIMIT {PRUNED_COUNTERS_MAX}),
             deleted AS (
                 DELETE FROM sign_in_failure WHERE ctid = ANY (ARRAY(SELECT row_id FROM found))
                   AND started_millis + 0 < (SELECT input.before_millis FROM {{input}}))
             SELECT CAST(1 AS BIGINT) FROM found"
        ),
        &[("before_millis", Kind::Int)],
    )
}

/// Keys of the counters of an attempt: the counter of its address, and that of its address and name.
fn keys(attempt: &Attempt) -> [Key; 2] {
    [
        (attempt.address.clone(), String::new()),
        (attempt.address.clone(), attempt.username.clone()),
    ]
}
