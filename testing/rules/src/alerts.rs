//! Rule that each alert has an entry in the runbook and a test.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::Path,
};

use anyhow::{bail, ensure};

use crate::files_in;

/// Annotation of an alert that links to its entry in the runbook.
const LINK: &str = "runbook: docs/runbook.md#";

/// The alert that is never silent, so no test can expect silence.
const ALWAYS_FIRING: &str = "AlwaysFiring";

/// Alerts whose tests expect the alert to fire, and alerts whose tests expect silence.
#[derive(Debug, Default, PartialEq, Eq)]
struct TestedAlerts<'a> {
    firing: HashSet<&'a str>,
    silent: HashSet<&'a str>,
}

/// Checks that each alert links to an entry of the runbook that names the alert, and that the tests
/// of the rules contain a case in which the alert fires and a case in which it is silent.
pub fn check(workspace: &Path) -> anyhow::Result<String> {
    let runbook = fs::read_to_string(workspace.join("docs/runbook.md"))?;
    let entries = entries(&runbook);
    let rules = read_folder(&workspace.join("ops/prometheus/rules"))?;
    let tests = read_folder(&workspace.join("ops/prometheus/tests"))?;
    let tested = tested_alerts(&tests);
    let alerts = alerts(&rules);
    for (alert, link) in &alerts {
        let Some(link) = link else {
            bail!("alert {alert} has no annotation `{LINK}…`");
        };
        let Some(entry) = entries.get(*link) else {
            bail!("docs/runbook.md has no entry #{link}, to which {alert} links");
        };
        ensure!(
            names(entry, alert),
            "the entry #{link} of docs/runbook.md does not name {alert}"
        );
        ensure!(
            tested.firing.contains(alert),
            "no test in ops/prometheus/tests expects {alert} to fire"
        );
        ensure!(
            tested.silent.contains(alert) || *alert == ALWAYS_FIRING,
            "no test in ops/prometheus/tests expects {alert} to be silent"
        );
    }
    let (alerts, entries) = (alerts.len(), entries.len());
    Ok(format!(
        "{alerts} alerts have a rule test and one of {entries} runbook entries"
    ))
}

/// Returns the joined text of the YAML files in a folder.
fn read_folder(folder: &Path) -> anyhow::Result<String> {
    let files = files_in(folder, "yml")?;
    let texts: Result<Vec<_>, _> = files.iter().map(fs::read_to_string).collect();
    Ok(texts?.join("\n"))
}

/// Returns the entries of the runbook by their anchors.
fn entries(runbook: &str) -> HashMap<String, &str> {
    let parts = runbook.split("\n## ").skip(1);
    parts
        .filter_map(|part| part.split_once('\n'))
        .map(|(heading, entry)| (anchor(heading), entry))
        .collect()
}

/// Returns the alerts of rule files, each with the anchor to which the alert links.
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

/// Reads the expectations of rule tests.
fn tested_alerts(tests: &str) -> TestedAlerts<'_> {
    let mut tested = TestedAlerts::default();
    for part in tests.split("alertname: ").skip(1) {
        let mut lines = part.lines().map(str::trim);
        let alert = lines.next().unwrap_or_default();
        match lines.find_map(|line| line.strip_prefix("exp_alerts:")) {
            Some(expected) if expected.trim() == "[]" => tested.silent.insert(alert),
            Some(_) => tested.firing.insert(alert),
            None => false,
        };
    }
    tested
}

/// Returns whether an entry is about an alert. The entry begins with `*FirstAlert, SecondAlert.*`
fn names(entry: &str, alert: &str) -> bool {
    let emphasised = entry.split('*').skip(1).step_by(2);
    emphasised
        .flat_map(|words| words.split([',', '.', ' ', '\n']))
        .any(|word| word == alert)
}

/// Returns the anchor that GitHub makes from a heading.
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
    fn an_anchor_is_the_same_as_on_github() {
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
    fn an_alert_without_a_runbook_does_not_take_the_link_of_the_next_alert() {
        let rules = "- alert: One\n  expr: 1\n- alert: Two\n  runbook: docs/runbook.md#two\n";

        assert_eq!(alerts(rules), [("One", None), ("Two", Some("two"))]);
    }

    #[test]
    fn a_test_expects_an_alert_to_fire_or_to_be_silent() {
        let tests = "alertname: One\n  exp_alerts: []\n- eval_time: 5m\n  alertname: Two\n  \
                     exp_alerts:\n    - exp_labels: {}\n";
        let tested = tested_alerts(tests);

        assert_eq!(tested.silent, HashSet::from(["One"]));
        assert_eq!(tested.firing, HashSet::from(["Two"]));
    }
}
