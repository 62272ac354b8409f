//! The course's scenario file, which is UTF-8 and tab-separated, without quoting and without a header.
//!
//! A line has the columns `id delay timestamp_ms command username arg…`. `register` has two
//! arguments (email, password), and each other command has one. A text may hold any character but a
//! tab and a newline.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail, ensure};

use crate::action::{Action, Command};

/// Reads a scenario. The first malformed line is an error.
pub fn read(path: &Path) -> anyhow::Result<Vec<Action>> {
    let bytes =
        std::fs::read(path).with_context(|| format!("cannot read scenario {}", path.display()))?;
    parse(&bytes).with_context(|| format!("scenario {}", path.display()))
}

/// Parses the bytes of a scenario file.
pub fn parse(bytes: &[u8]) -> anyhow::Result<Vec<Action>> {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    ensure!(!bytes.is_empty(), "the file is empty");
    // Split at line feeds only, because `str::lines` would also remove a carriage return at the end
    // of a text.
    bytes
        .split(|&byte| byte == b'\n')
        .enumerate()
        .map(|(index, line)| parse_line(line).with_context(|| format!("line {}", index + 1)))
        .collect()
}

fn parse_line(line: &[u8]) -> anyhow::Result<Action> {
    let line = std::str::from_utf8(line).context("not UTF-8")?;
    let columns: Vec<&str> = line.split('\t').collect();
    let &[id, delay, timestamp_ms, name, username, ref arguments @ ..] = columns.as_slice() else {
        bail!(
            "expected at least 6 tab-separated columns, found {}",
            columns.len()
        );
    };
    let command = match (name, arguments) {
        ("register", &[email, password]) => Command::Register {
            email: email.to_owned(),
            password: password.to_owned(),
        },
        ("tweet", &[content]) => Command::Tweet {
            content: content.to_owned(),
        },
        ("follow", &[whom]) => Command::Follow {
            whom: whom.to_owned(),
        },
        ("unfollow", &[whom]) => Command::Unfollow {
            whom: whom.to_owned(),
        },
        ("register" | "tweet" | "follow" | "unfollow", _) => {
            let expected = if name == "register" { 7 } else { 6 };
            bail!(
                "{name} has {expected} tab-separated columns, found {}",
                columns.len()
            );
        }
        _ => bail!("no command named {name:?}: register, tweet, follow or unfollow"),
    };
    ensure!(!username.is_empty(), "the user name is empty");
    Ok(Action {
        id: id
            .parse()
            .with_context(|| format!("id {id:?} is no integer"))?,
        delay: delay
            .parse()
            .with_context(|| format!("delay {delay:?} is no natural number"))?,
        timestamp_ms: timestamp_ms
            .parse()
            .with_context(|| format!("timestamp {timestamp_ms:?} is no integer"))?,
        username: username.to_owned(),
        command,
    })
}

/// Writes actions in the course's format.
///
/// # Errors
///
/// Fails if the format cannot express an action, which is a read, or a text with a tab or newline.
pub fn write(
    actions: impl IntoIterator<Item = Action>,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    for action in actions {
        let (name, arguments) = match &action.command {
            Command::Register { email, password } => ("register", vec![email, password]),
            Command::Tweet { content } => ("tweet", vec![content]),
            Command::Follow { whom } => ("follow", vec![whom]),
            Command::Unfollow { whom } => ("unfollow", vec![whom]),
            _ => bail!(
                "action {} is a read, and the course's format has none",
                action.id
            ),
        };
        let fields = [&action.username].into_iter().chain(arguments);
        write!(
            out,
            "{}\t{}\t{}\t{name}",
            action.id, action.delay, action.timestamp_ms
        )?;
        for field in fields {
            ensure!(
                !field.contains(['\t', '\n']),
                "action {}: {field:?} holds a tab or a newline",
                action.id
            );
            write!(out, "\t{field}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_lines_of_the_course_are_parsed() {
        let text = "0\t0\t1582246860738\tregister\tRoger Histand\tRoger+Histand@hotmail.com\t]=)[X{Km{z\n\
                    1\t13700323\t1582260561061\ttweet\tRoger Histand\t“Then, æ” said \"he\".\r\n\
                    2\t1\t1582260561062\tfollow\tRoger Histand\tA B\n\
                    3\t1\t1582260561063\tunfollow\tRoger Histand\tA B";
        let actions = parse(text.as_bytes()).unwrap();
        assert_eq!(actions.len(), 4);
        assert_eq!(actions[1].delay, 13_700_323);
        let content = "“Then, æ” said \"he\".\r".to_owned();
        assert_eq!(actions[1].command, Command::Tweet { content });
        assert_eq!(actions[3].command, Command::Unfollow { whom: "A B".into() });
    }

    #[test]
    fn the_error_of_a_malformed_line_has_its_number() {
        let good = "0\t0\t0\ttweet\ta\tb\n";
        for (bad, expected) in [
            (
                "1\t0\t0\ttweet\ta",
                "line 2: tweet has 6 tab-separated columns, found 5",
            ),
            (
                "1\t0\t0\ttweet\ta\tb\tc",
                "line 2: tweet has 6 tab-separated columns, found 7",
            ),
            (
                "1\t0\t0\tregister\ta\tb",
                "line 2: register has 7 tab-separated columns, found 6",
            ),
            ("x\t0\t0\ttweet\ta\tb", "line 2: id \"x\" is no integer"),
            (
                "1\t-1\t0\ttweet\ta\tb",
                "line 2: delay \"-1\" is no natural number",
            ),
            ("1\t0\t0\tdance\ta\tb", "line 2: no command named \"dance\""),
            ("1\t0\t0\ttweet\t\tb", "line 2: the user name is empty"),
            ("", "line 2: expected at least 6"),
        ] {
            let error = parse(format!("{good}{bad}\n{good}").as_bytes()).unwrap_err();
            let message = format!("{error:#}");
            assert!(message.starts_with(expected), "{message}");
        }
        assert!(parse(b"0\t0\t0\ttweet\ta\t\xff\n").is_err());
        assert!(parse(b"").is_err());
    }

    proptest! {
        #[test]
        fn written_actions_are_read_back(id: i64, delay: u64, at: i64, name in "[^\t\n]+",
                                        text in "[^\t\n]*", password in "[^\t\n]*") {
            let command = |index| match index {
                0 => Command::Register { email: text.clone(), password: password.clone() },
                1 => Command::Tweet { content: text.clone() },
                2 => Command::Follow { whom: text.clone() },
                _ => Command::Unfollow { whom: text.clone() },
            };
            let actions: Vec<Action> = (0..4).map(|index| Action {
                id, delay, timestamp_ms: at, username: name.clone(), command: command(index),
            }).collect();
            let mut file = Vec::new();
            write(actions.clone(), &mut file).unwrap();
            prop_assert_eq!(parse(&file).unwrap(), actions);
        }
    }
}
