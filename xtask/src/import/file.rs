//! A file as the old system leaves it, without its dirt: tests have that.

use std::{fmt, io::Write as _, path::Path, process::Stdio};

use anyhow::{Context as _, ensure};

use crate::sqlite;

/// The same as that of the tests' files.
const SCHEMA: &str = include_str!("../../../tests/import/old.sql");

/// How much there is in it.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Scale {
    /// How many users
    #[arg(long, default_value_t = 20_000, value_name = "N")]
    pub(crate) users: u64,
    /// How many messages; one in fifty is flagged
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    pub(crate) messages: u64,
    /// How many follows
    #[arg(long, default_value_t = 300_000, value_name = "N")]
    pub(crate) follows: u64,
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

/// Makes the file.
pub(crate) fn make(file: &Path, scale: Scale) -> anyhow::Result<()> {
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
    // Three messages a second, so that their order is not that of their times alone. The steps are
    // prime, so that neighbours have different authors.
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
    let mut process = sqlite::session(file)?.stdin(Stdio::piped()).spawn()?;
    let mut input = process.stdin.take().context("its input is piped")?;
    input.write_all(script.as_bytes())?;
    drop(input);
    ensure!(process.wait()?.success(), "sqlite3 makes no file");
    Ok(())
}
