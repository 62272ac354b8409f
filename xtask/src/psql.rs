//! SQL for a private server, through PostgreSQL's own client.

use std::{
    ffi::OsStr,
    io,
    process::{Command, Output, Stdio},
};

use anyhow::{Context, bail};
use minitwit_postgres::Cluster;

use crate::cargo::find_program;

/// A session in one of the server's databases; an error ends it.
pub(crate) fn session(cluster: &Cluster, database: &str) -> anyhow::Result<Command> {
    let program = find_program("psql")
        .context("psql is not installed: `apt-get install postgresql` brings it")?;
    let mut command = Command::new(program);
    command.arg(cluster.url(database)).args([
        "--no-psqlrc",
        "--quiet",
        "--set",
        "ON_ERROR_STOP=on",
    ]);
    Ok(command)
}

/// Runs one statement.
pub(crate) fn execute(cluster: &Cluster, database: &str, sql: &str) -> anyhow::Result<()> {
    run(session(cluster, database)?.args(["--command", sql]))
}

/// Creates an empty database.
pub(crate) fn create(cluster: &Cluster, database: &str) -> anyhow::Result<()> {
    execute(
        cluster,
        "postgres",
        &format!("CREATE DATABASE \"{database}\""),
    )
}

/// Runs a client to its end; an error says what it wrote.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.stdin(Stdio::null()).output();
    judge(command.get_program(), output).map(drop)
}

/// Runs one statement and tells what it answers, without ornament.
pub(crate) fn ask(cluster: &Cluster, database: &str, sql: &str) -> anyhow::Result<String> {
    let mut command = session(cluster, database)?;
    command.args(["--no-align", "--tuples-only", "--command", sql]);
    let output = command.stdin(Stdio::null()).output();
    let output = judge(command.get_program(), output)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn judge(program: &OsStr, output: io::Result<Output>) -> anyhow::Result<Output> {
    let name = program.display();
    let output = output.with_context(|| format!("cannot run {name}"))?;
    if !output.status.success() {
        bail!(
            "{name} failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(output)
}
