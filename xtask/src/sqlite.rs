//! SQL for a file, through SQLite's own client.

use std::{path::Path, process::Command};

use anyhow::Context as _;

use crate::cargo::find_program;

/// A session in a file; an error ends it.
pub(crate) fn session(file: &Path) -> anyhow::Result<Command> {
    let program = find_program("sqlite3")
        .context("sqlite3 is not installed: `apt-get install sqlite3` brings it")?;
    let mut command = Command::new(program);
    command.args(["-batch", "-bail"]).arg(file);
    Ok(command)
}
