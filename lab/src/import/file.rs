//! A database file of the old system, without damaged rows, which other tests have.

use std::{fmt, io::Write as _, path::Path, process::Stdio};

use anyhow::{Context as _, ensure};

use crate::psql::sqlite_session;

/// Schema of the old system, as in the files of the tests.
const SCHEMA: &str = include_str!("../../../tests/import/old.sql");

/// Number of rows.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Scale {
    /// Number of users
    #[arg(long, default_value_t = 20_000, value_name = "N")]
    pub(super) users: u64,
    /// Number of messages, of which one in fifty is flagged
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    pub(super) messages: u64,
    /// Number of follows
    #[arg(long, default_value_t = 300_000, value_name = "N")]
    pub(super) follows: u64,
}

impl fmt::Display for Scale {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            users,
            messages,
            follows,
        } = self;
        write!(
            formatter,
            "{users} users, {messages} messages and {follows} follows"
        )
    }
}

/// Creates the file.
pub(super) fn create(file: &Path, scale: Scale) -> anyhow::Result<()> {
    let Scale {
        users,
        messages,
        follows,
    } = scale;
    ensure!(users > 0, "a file without users has no authors");
    ensure!(
        follows / users < users - 1,
        "{users} users cannot follow {follows} times without repeating themselves"
    );
    let rows = |count: u64| format!("(SELECT value AS n FROM generate_series(1, {count}))");
    // Three messages a second, so that the time alone does not determine their order. The steps are prime, so
    // that consecutive messages have different authors.
    let script = format!(
        "{SCHEMA}
         BEGIN;
         INSERT INTO user (username, email, pw_hash)
             SELECT 'user ' || n, n || '@example.com', 'damaged' FROM {};
         INSERT INTO message (author_id, text, pub_date, flagged)
             SELECT 1 + n * 7919 % {users}, 'text ' || n, 1233065594 + n / 3, n % 50 = 0 FROM {};
         INSERT INTO follower
             SELECT 1 + (n - 1) % {users}, 1 + (n + (n - 1) / {users}) % {users} FROM {};
         COMMIT;\n",
        rows(users),
        rows(messages),
        rows(follows)
    );
    let mut process = sqlite_session(file)?.stdin(Stdio::piped()).spawn()?;
    let mut input = process.stdin.take().context("the input is piped")?;
    input.write_all(script.as_bytes())?;
    drop(input);
    ensure!(
        process.wait()?.success(),
        "sqlite3 has failed, as its error output says"
    );
    Ok(())
}
