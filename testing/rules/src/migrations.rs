//! Safety of the PostgreSQL migrations, as squawk judges them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::files_in;

/// Accepted findings. Migrations that have been released are never changed, so theirs remain.
const BASELINE: &str = "ops/squawk-baseline.txt";

/// Number of findings by file and rule.
type Findings = BTreeMap<(String, String), usize>;

/// Checks that the findings in all migrations are exactly those of the baseline.
pub fn check(workspace: &Path, squawk: &Path) -> anyhow::Result<String> {
    let mut found = Findings::new();
    let files = migrations(workspace)?;
    for file in &files {
        let path = file.strip_prefix(workspace)?;
        let mut command = Command::new(squawk);
        command.args(["--reporter", "json", "--pg-version", "15.0"]);
        // sqlx runs a migration in a transaction unless its first line is this comment.
        if !fs::read_to_string(file)?.starts_with("-- no-transaction") {
            command.arg("--assume-in-transaction");
        }
        let output = command.arg(path).current_dir(workspace).output();
        let output = output.context("cannot run squawk")?;
        let report: Value = serde_json::from_slice(&output.stdout)
            .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
        for finding in report.as_array().into_iter().flatten() {
            let rule = finding["rule_name"].as_str().unwrap_or("unknown");
            let key = (path.display().to_string(), rule.to_owned());
            *found.entry(key).or_default() += 1;
        }
    }
    let accepted = read_baseline(&fs::read_to_string(workspace.join(BASELINE))?)?;
    let differences = differences(&found, &accepted);
    if !differences.is_empty() {
        bail!(
            "findings differ from {BASELINE}:\n{}",
            differences.join("\n")
        );
    }
    let count: usize = found.values().sum();
    Ok(format!(
        "{} migrations, {count} findings, all in {BASELINE}",
        files.len()
    ))
}

fn migrations(workspace: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for service in fs::read_dir(workspace.join("services"))? {
        let folder = service?.path().join("migrations/postgres");
        if folder.is_dir() {
            files.extend(files_in(&folder, "sql")?);
        }
    }
    ensure!(
        !files.is_empty(),
        "no migrations in services/*/migrations/postgres"
    );
    Ok(files)
}

/// Reads a baseline. A line consists of a file, a rule, and a number of findings.
fn read_baseline(text: &str) -> anyhow::Result<Findings> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [file, rule, count] = words.as_slice() else {
                bail!("{BASELINE}: `{line}` is not a file, a rule and a number");
            };
            let count = count
                .parse()
                .with_context(|| format!("{BASELINE}: `{line}`"))?;
            Ok(((String::from(*file), String::from(*rule)), count))
        })
        .collect()
}

/// Describes each file and rule with more or fewer findings than accepted.
fn differences(found: &Findings, accepted: &Findings) -> Vec<String> {
    let keys = found
        .keys()
        .chain(accepted.keys().filter(|key| !found.contains_key(*key)));
    keys.filter_map(|key| {
        let [found, accepted] = [found, accepted].map(|side| side.get(key).copied().unwrap_or(0));
        let (file, rule) = key;
        (found != accepted).then(|| format!("{file}: {rule}: {found} found, {accepted} accepted"))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_finding_and_a_missing_finding_are_differences() {
        let accepted = read_baseline("# header\na.sql lock 1\nb.sql lock 2\n").unwrap();
        let found = read_baseline("b.sql lock 2\nc.sql index 1\n").unwrap();

        assert!(differences(&accepted, &accepted).is_empty());
        assert_eq!(
            differences(&found, &accepted),
            [
                "c.sql: index: 1 found, 0 accepted",
                "a.sql: lock: 0 found, 1 accepted",
            ]
        );
    }

    #[test]
    fn a_line_without_a_number_is_refused() {
        assert!(read_baseline("a.sql lock").is_err());
    }
}
