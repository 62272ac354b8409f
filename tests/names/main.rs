//! Compares the public names of the suite with the list in `tests/names.txt`.
//!
//! Public names are used outside of this repository: in scripts, dashboards, alert rules and clients.
//! A rename breaks such a use, so the list makes each change visible in review.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod options;
mod proto;
mod sources;

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path};

const LIST: &str = include_str!("../names.txt");

/// The kinds of public names, each of which must occur in the list.
const KINDS: [&str; 9] = [
    "alert", "command", "field", "metric", "message", "option", "rpc", "value", "variable",
];

#[test]
fn the_public_names_are_the_listed_ones() {
    let actual: BTreeSet<String> = options::names()
        .chain(proto::names())
        .chain(sources::names())
        .collect();
    let listed: BTreeSet<String> = LIST.lines().map(str::to_owned).collect();
    let mut changes = String::new();
    for name in listed.difference(&actual) {
        writeln!(changes, "  removed: {name}").unwrap();
    }
    for name in actual.difference(&listed) {
        writeln!(changes, "  added:   {name}").unwrap();
    }
    if changes.is_empty() {
        return;
    }
    let generated = Path::new(env!("CARGO_TARGET_TMPDIR")).join("names.txt");
    let lines: Vec<String> = actual.into_iter().collect();
    fs::write(&generated, lines.join("\n") + "\n").unwrap();
    panic!(
        "public names have changed:\n{changes}\
         A removed or renamed name breaks its users. If the change is intended, update the list:\n  \
         cp {} tests/names.txt",
        generated.display()
    );
}

#[test]
fn the_list_has_names_of_every_kind() {
    for kind in KINDS {
        let has_kind = |line: &str| line.split(' ').next() == Some(kind);
        assert!(LIST.lines().any(has_kind), "no {kind} is listed");
    }
}
