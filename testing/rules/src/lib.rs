//! Rules for the files of this repository that no compiler or linter checks.
//!
//! `cargo xtask check` and `cargo xtask ops` run the rules. A rule that holds returns a line for the log.

pub mod alerts;
pub mod imports;
pub mod migrations;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;

/// Returns the files in a folder that have an extension, in alphabetical order.
fn files_in(folder: &Path, extension: &str) -> anyhow::Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("no folder {}", folder.display()))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut files = paths.collect::<Result<Vec<_>, _>>()?;
    files.retain(|path| path.extension().is_some_and(|found| found == extension));
    files.sort();
    Ok(files)
}
