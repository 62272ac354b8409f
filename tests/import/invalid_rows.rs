//! Databases with invalid and unusual rows.

use std::fs;

use minitwit_importer::{ImportArgs, Outcome};

use crate::{
    args,
    harness::{Client, Running, person::Person, segment},
    import, listed_messages,
    old::Old,
};

/// A database with invalid and unusual rows of each kind.
async fn with_invalid_rows() -> Old {
    let old = Old::new().await;
    let long = "x".repeat(300);
    old.run(format!(
        "INSERT INTO user VALUES
             (1, 'alice', 'alice@example.com', 'damaged'),
             (2, 'Bob B', 'bob@example.com', 'damaged'),
             (3, '007', '', 17),
             (4, 'alice', 'other@example.com', 'damaged'),
             (5, '', 'nobody@example.com', 'damaged'),
             (6, 1.5, 'no address', ''),
             (7, '{long}', 'long@example.com', 'damaged'),
             (8, CAST(X'ff' AS TEXT), 'bytes@example.com', 'damaged'),
             (40, 'blåbær 😀', 'b@example.com', X'00');
         INSERT INTO message VALUES
             (1, 1, 'the first', 1233065594, 0),
             (2, 2, '007', 1233065594, 0),
             (3, 1, '1e5', 1233065594, 0),
             (4, 3, ' ø😀 ', 1700000000, 0),
             (5, 1, 'flagged', 1700000001, 1),
             (6, 1, 'flagged by nothing', 1700000001, NULL),
             (7, 99, 'an orphan', 1700000002, 0),
             (8, 4, 'by another alice', 1700000003, 0),
             (9, 1, 'without a time', NULL, 0),
             (10, 1, 'long ago', 'yesterday', 0),
             (11, 2, 'before 1970', -5, 0),
             (12, 2, 'in thousandths', 1700000000000000, 0),
             (13, 7, 'of somebody too long', 1700000004, 0),
             (14, 6, '{}', 1700000005, 0),
             (15, 6, 'a' || char(0) || 'b', 1700000006, 0),
             (16, 6, '', 1700000007, 0),
             (17, 'nobody', 'whose', 1700000008, 0),
             (18, 6, 2.5, 1700000008.75, 0),
             (19, 6, CAST(X'ff' AS TEXT), 1700000009, 0),
             (281474976710656, 6, 'a number too large', 1700000010, 0),
             (70, 40, 'last', 1699999999, 0);
         INSERT INTO follower VALUES
             (1, 2), (1, 2), (1, 99), (NULL, 1), (2, 1), (4, 2), (3, 3), (7, 1), ('x', 1), (40, 1)",
        "y".repeat(10_001)
    ))
    .await;
    old
}

/// An SQL condition that excludes the messages of `with_invalid_rows` that cannot be imported.
const IMPORTABLE: &str =
    "message_id NOT IN (7, 9, 10, 11, 12, 13, 14, 15, 17, 19, 281474976710656)";

async fn follows(api: &Client, name: &str) -> Vec<String> {
    let path = format!("/fllws/{}", segment(name));
    let answer = api.get(&path).await.is(200).json();
    let names = answer["follows"].as_array().unwrap().iter();
    names
        .map(|name| name.as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn all_valid_rows_are_imported_and_a_second_import_changes_nothing() {
    let (suite, old) = (Running::new().await, with_invalid_rows().await);
    let api = suite.simulator();
    api.register("already here").await.is(204);
    let args = args(&old.file);
    for round in 0..2 {
        assert_eq!(import(&suite, &args).await, Outcome::Incomplete);

        let all = old.timeline(IMPORTABLE).await;
        assert_eq!(all.len(), 8);
        assert_eq!(listed_messages(&api, "/msgs").await, all);
        for name in ["Bob B", "7", "1.5", "blåbær 😀"] {
            let condition = format!("{IMPORTABLE} AND CAST(username AS TEXT) = '{name}'");
            let path = format!("/msgs/{}", segment(name));
            assert_eq!(
                listed_messages(&api, &path).await,
                old.timeline(&condition).await,
                "{name}"
            );
        }
        // Two rows with the same name are one user, because the old system listed the messages of
        // both under the name.
        assert_eq!(listed_messages(&api, "/msgs/alice").await.len(), 3);
        assert_eq!(follows(&api, "alice").await, ["Bob B"]);
        assert_eq!(follows(&api, "Bob B").await, ["alice"]);
        assert_eq!(follows(&api, "7").await, ["7"]);
        assert_eq!(follows(&api, "blåbær 😀").await, ["alice"]);

        let report = fs::read_to_string(args.report.as_ref().unwrap()).unwrap();
        for line in REPORT_LINES {
            assert!(report.contains(line), "{line:?} is missing in:\n{report}");
        }
        let refused = report.lines().filter(|line| line.starts_with("  message "));
        assert_eq!(refused.count(), 11, "{report}");
        let counts = if round == 0 {
            "users                 9              5"
        } else {
            "users                 9              0              5"
        };
        assert!(report.contains(counts), "{report}");
    }
    suite.stop().await;
}

const REPORT_LINES: [&str; 19] = [
    "user 4: it has the name of user 1",
    "user 5: the name is empty",
    "user 7: the name has 300 bytes, at most 255 are taken",
    "user 8: the name is no text in UTF-8",
    "follower, row 2: it says the same as row 1",
    "follower, row 3: there is no user 99",
    "follower, row 4: who it is about is no number",
    "follower, row 6: it says the same as row 1",
    "follower, row 8: user 7 was not brought over",
    "message 7: its author, user 99, does not exist",
    "message 9: its time of publication is no number",
    "message 11: its time of publication, or its number, is out of bounds",
    "message 13: its author, user 7, was not brought over",
    "message 14: the text has 10001 bytes, at most 10000 are taken",
    "message 15: the text contains a NUL character",
    "message 17: its author is no number",
    "message 19: the text is no text in UTF-8",
    "message 281474976710656: its time of publication, or its number",
    "  user 3\n",
];

#[tokio::test]
async fn flagged_messages_are_imported_as_flagged() {
    let (suite, old) = (Running::new().await, with_invalid_rows().await);
    import(&suite, &args(&old.file)).await;
    let found = std::cell::RefCell::new(Vec::new());
    let args = minitwit::flag::FlaggedArgs {
        limit: 100,
        suite: minitwit::address::SuiteArgs {
            suite: suite.services.into(),
        },
    };
    minitwit::flag::list(&args, &|line| found.borrow_mut().push(line.to_owned()))
        .await
        .unwrap();
    let found = found.into_inner();
    assert_eq!(found.len(), 2);
    let expected = "2023-11-14T22:13:21Z by the old system  alice: flagged";
    assert!(found[1].ends_with(expected), "{found:?}");
    suite.stop().await;
}

#[tokio::test]
async fn a_name_that_another_user_of_the_suite_has_is_not_imported() {
    let (suite, old) = (Running::new().await, Old::new().await);
    let mut person = Person::signed_in(suite.pages, "alice").await;
    person.share("mine").await;
    old.run(
        "INSERT INTO user VALUES (1, 'alice', 'a@example.com', 'damaged');
         INSERT INTO message VALUES (1, 1, 'another''s', 1700000000, 0)",
    )
    .await;
    let args = args(&old.file);
    assert_eq!(import(&suite, &args).await, Outcome::Incomplete);
    assert_eq!(suite.simulator().contents("/msgs/alice").await, ["mine"]);
    let report = fs::read_to_string(args.report.unwrap()).unwrap();
    let expected = "user 1: the name is taken: the suite has, or had, somebody else of that name";
    assert!(report.contains(expected), "{report}");
    suite.stop().await;
}

#[tokio::test]
async fn a_dry_run_writes_the_same_report_and_imports_nothing() {
    let (suite, old) = (Running::new().await, with_invalid_rows().await);
    let mut args = args(&old.file);
    args.dry_run = true;
    assert_eq!(import(&suite, &args).await, Outcome::Incomplete);
    assert!(suite.simulator().contents("/msgs").await.is_empty());
    suite.simulator().get("/msgs/alice").await.is(404);
    let report = fs::read_to_string(args.report.unwrap()).unwrap();
    for line in REPORT_LINES {
        assert!(report.contains(line), "{line:?} is missing in:\n{report}");
    }
    suite.stop().await;
}

#[tokio::test]
async fn a_file_that_is_no_old_database_is_rejected_with_the_cause() {
    let (suite, old) = (Running::new().await, Old::new().await);
    old.run("ALTER TABLE message RENAME COLUMN pub_date TO published")
        .await;
    let refused = async |args: ImportArgs| {
        let error = minitwit_importer::run(&args, crate::services(&suite)).await;
        format!("{:#}", error.unwrap_err())
    };
    let mut args = args(&old.file);
    let reason = refused(args.clone()).await;
    assert!(
        reason.ends_with("\"message\" has no column \"pub_date\""),
        "{reason}"
    );
    args.file = old.file.with_extension("nowhere");
    let reason = refused(args.clone()).await;
    assert!(reason.starts_with("there is no file"), "{reason}");
    suite.stop().await;
}
