//! The names of metrics, their common labels, and alerts, read from the sources.

use std::{fs, path::Path, process::Command};

/// Prefixes of metrics, and of labels that are the same for several metrics.
const METRIC_PREFIXES: [&str; 6] = ["db_", "http_", "minitwit_", "rpc_", "tokio_", "build_"];

/// Folders whose sources are not part of the product.
const OTHER_FOLDERS: [&str; 6] = ["bench/", "chaos/", "lab/", "testing/", "tests/", "xtask/"];

/// The names of metrics, labels and alerts.
pub(crate) fn names() -> impl Iterator<Item = String> {
    let sources = tracked_files("*.rs").into_iter().filter(|path| {
        let is_other = OTHER_FOLDERS.iter().any(|folder| path.starts_with(folder));
        !is_other && !path.contains("/tests")
    });
    let metrics = sources.flat_map(|path| metrics(&read(&path)));
    let alerts = tracked_files("ops/prometheus/rules/*.yml")
        .into_iter()
        .flat_map(|path| alerts(&read(&path)));
    metrics.chain(alerts)
}

/// The string literals of a source file that are names of metrics or labels.
fn metrics(source: &str) -> Vec<String> {
    let is_name = |text: &&str| {
        METRIC_PREFIXES
            .iter()
            .any(|prefix| text.starts_with(prefix))
            && !text.ends_with('_')
            && text
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
    };
    source
        .split('"')
        .filter(is_name)
        .map(|name| format!("metric {name}"))
        .collect()
}

/// The alerts and recorded series of a file with Prometheus rules.
fn alerts(rules: &str) -> Vec<String> {
    let name = |line: &str| {
        let line = line.trim().trim_start_matches("- ");
        let (kind, name) = line.split_once(": ")?;
        matches!(kind, "alert" | "record").then(|| format!("{kind} {}", name.trim()))
    };
    rules.lines().filter_map(name).collect()
}

fn tracked_files(pattern: &str) -> Vec<String> {
    let output = Command::new("git")
        .args(["ls-files", "--", pattern])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "git ls-files failed");
    let files = String::from_utf8(output.stdout).unwrap();
    files.lines().map(str::to_owned).collect()
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
