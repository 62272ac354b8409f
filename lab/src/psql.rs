//! SQL through the command-line clients of PostgreSQL and SQLite.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::Context;
use minitwit_postgres::Cluster;
use xtask::find_program;

use crate::command::{output, run};

/// A session in a database of a private server. The first error ends the session.
pub(crate) fn session(cluster: &Cluster, database: &str) -> anyhow::Result<Command> {
    let program = find_program("psql")
        .context("psql is not installed: `apt-get install postgresql-client`")?;
    let mut command = Command::new(program);
    command.arg(cluster.url(database));
    command.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=on"]);
    Ok(command)
}

/// A session in a file of SQLite. The first error ends the session.
pub(crate) fn sqlite_session(file: &Path) -> anyhow::Result<Command> {
    let program =
        find_program("sqlite3").context("sqlite3 is not installed: `apt-get install sqlite3`")?;
    let mut command = Command::new(program);
    command.args(["-batch", "-bail"]).arg(file);
    Ok(command)
}

/// Runs one statement.
pub(crate) fn execute(cluster: &Cluster, database: &str, sql: &str) -> anyhow::Result<()> {
    run(session(cluster, database)?.args(["--command", sql]))
}

/// Creates an empty database.
pub(crate) fn create(cluster: &Cluster, database: &str) -> anyhow::Result<()> {
    let create = format!("CREATE DATABASE \"{database}\"");
    execute(cluster, "postgres", &create)
}

/// Runs one statement and returns its result, columns and rows without decoration.
pub(crate) fn query(cluster: &Cluster, database: &str, sql: &str) -> anyhow::Result<String> {
    let mut command = session(cluster, database)?;
    command.stdin(Stdio::null());
    output(command.args(["--no-align", "--tuples-only", "--command", sql]))
}
