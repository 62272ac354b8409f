//! Line endings of tracked files match the attributes in `.gitattributes`.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::process::Command;

/// The output of a Git command in the repository.
fn git(arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?} failed");
    String::from_utf8(output.stdout).unwrap()
}

/// The path of a file with CR LF for which the attributes demand LF, if a line of
/// `git ls-files --eol` describes one.
///
/// A line has the columns `i/EOL w/EOL attr/ATTRIBUTES`, a tab, and the path.
fn violation(line: &str) -> Option<&str> {
    let (columns, path) = line.split_once('\t')?;
    let (line_endings, attributes) = columns.split_once("attr/")?;
    let has_cr = |column: &str| column.ends_with("/crlf") || column.ends_with("/mixed");
    let demands_lf = attributes.contains("eol=lf");
    (demands_lf && line_endings.split_whitespace().any(has_cr)).then_some(path)
}

#[test]
fn files_that_demand_lf_have_no_cr_lf() {
    let list = git(&["ls-files", "--eol"]);
    let violations: Vec<&str> = list.lines().filter_map(violation).collect();
    assert!(
        violations.is_empty(),
        "these files have CR LF, but .gitattributes demands LF: {violations:#?}\n\
         convert them with `sed -i 's/\\r$//' FILE` and commit them"
    );
}

#[test]
fn files_whose_bytes_matter_demand_lf_or_are_binary() {
    for path in [
        "Dockerfile",
        "bench/data/suite.sql",
        "bench/load.lua",
        "ops/haproxy/haproxy.cfg",
        "ops/secrets.sh",
        "services/user/migrations/postgres/0001_example.sql",
        "tests/pages/snapshots/public.snap",
        "gateway/templates/layout.html",
        "data/example.csv",
        "data/example.tsv",
    ] {
        let attribute = git(&["check-attr", "eol", "--", path]);
        assert!(attribute.trim().ends_with(": lf"), "{attribute}");
    }
    let attribute = git(&["check-attr", "text", "--", "docs/example.png"]);
    assert!(attribute.trim().ends_with(": unset"), "{attribute}");
}

#[test]
fn a_file_with_cr_lf_is_a_violation_only_if_lf_is_demanded() {
    for (line, expected) in [
        ("i/lf    w/lf    attr/text eol=lf\ta.sh", None),
        ("i/crlf  w/crlf  attr/text eol=lf\ta.sh", Some("a.sh")),
        ("i/lf    w/mixed attr/text eol=lf\ta.sh", Some("a.sh")),
        ("i/crlf  w/crlf  attr/\ta.txt", None),
        ("i/-text w/-text attr/-text\ta.png", None),
    ] {
        assert_eq!(violation(line), expected, "{line}");
    }
}
