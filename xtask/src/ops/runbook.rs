//! Whether each alert leads to words on what to do about it.

use std::{collections::HashMap, fs};

use anyhow::{bail, ensure};

use super::files_in;
use crate::{cargo::workspace, steps::Outcome};

/// How an alert leads to its entry of the runbook.
const LINK: &str = "runbook: docs/runbook.md#";

/// Every alert leads to an entry of the runbook that is there and names it.
pub(super) fn check() -> anyhow::Result<Outcome> {
    let text = fs::read_to_string(workspace().join("docs/runbook.md"))?;
    let entries = entries(&text);
    let mut count = 0;
    for path in files_in(&workspace().join("ops/prometheus/rules"), "yml")? {
        let rules = fs::read_to_string(&path)?;
        for (alert, link) in alerts(&rules) {
            let Some(link) = link else {
                bail!("{alert} has no runbook in {}", path.display());
            };
            let Some(entry) = entries.get(link) else {
                bail!("docs/runbook.md has no entry #{link}, to which {alert} leads");
            };
            ensure!(
                names(entry, alert),
                "the entry #{link} of docs/runbook.md does not name {alert}"
            );
            count += 1;
        }
    }
    println!("{count} alerts, {} entries", entries.len());
    Ok(Outcome::Passed)
}

/// The runbook's entries by their anchors.
fn entries(runbook: &str) -> HashMap<String, &str> {
    let parts = runbook.split("\n## ").skip(1);
    parts
        .filter_map(|part| part.split_once('\n'))
        .map(|(heading, entry)| (anchor(heading), entry))
        .collect()
}

/// The alerts of a file of rules, and the anchors to which they lead.
fn alerts(rules: &str) -> Vec<(&str, Option<&str>)> {
    let parts = rules.split("- alert: ").skip(1);
    parts
        .map(|part| {
            let mut lines = part.lines().map(str::trim);
            let alert = lines.next().unwrap_or_default();
            (alert, lines.find_map(|line| line.strip_prefix(LINK)))
        })
        .collect()
}

/// Whether an entry says that it is about an alert: `*One, Another.*`
fn names(entry: &str, alert: &str) -> bool {
    let emphasised = entry.split('*').skip(1).step_by(2);
    emphasised
        .flat_map(|words| words.split([',', '.', ' ', '\n']))
        .any(|word| word == alert)
}

/// A heading's anchor, as it is made on GitHub.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    heading
        .trim()
        .to_lowercase()
        .chars()
        .filter(kept)
        .collect::<String>()
        .replace(' ', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchor_is_made_as_on_github() {
        assert_eq!(anchor("API error budget"), "api-error-budget");
        assert_eq!(anchor("3 a.m."), "3-am");
    }

    #[test]
    fn an_entry_names_its_alerts_in_emphasis() {
        let text =
            "# Runbook\n\n## Disk\n\n*DiskFull,\nDiskFills.* A disk.\n\n## Memory\n\nDiskSlow.\n";
        let entries = entries(text);

        assert!(names(entries["disk"], "DiskFull") && names(entries["disk"], "DiskFills"));
        assert!(!names(entries["disk"], "Disk") && !names(entries["memory"], "DiskSlow"));
    }

    #[test]
    fn an_alert_without_a_runbook_does_not_take_the_next_one_s() {
        let rules = "- alert: One\n  expr: 1\n- alert: Two\n  runbook: docs/runbook.md#two\n";

        assert_eq!(alerts(rules), [("One", None), ("Two", Some("two"))]);
    }
}
