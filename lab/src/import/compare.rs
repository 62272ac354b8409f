//! Comparison of the services' databases with the old file.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader, Lines},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use anyhow::{Context as _, bail, ensure};
use minitwit_postgres::Cluster;

use crate::psql;

/// Messages of the old file in its order, with author, text and time of publication.
const OLD_MESSAGES: &str = "SELECT username, text, pub_date FROM message
    JOIN user ON author_id = user_id WHERE flagged = 0
    ORDER BY pub_date DESC, message_id DESC";

/// The same messages in the message service, without those of the simulator. A key begins with its time.
const NEW_MESSAGES: &str = "COPY (SELECT author_id, text,
    ('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint / 1000
    FROM message WHERE NOT flagged AND text LIKE 'text %' ORDER BY id DESC) TO STDOUT";

const OLD_FOLLOWS: &str = "SELECT DISTINCT one.username, other.username FROM follower
    JOIN user AS one ON who_id = one.user_id JOIN user AS other ON whom_id = other.user_id";

const NEW_FOLLOWS: &str =
    "COPY (SELECT follower_id, followee_id FROM follow WHERE following) TO STDOUT";

const FLAGGED: &str = "SELECT count(*) FROM message WHERE flagged AND text LIKE 'text %'";

/// Compares all rows, and fails at the first difference.
pub(super) fn compare(old: &Path, cluster: &Cluster) -> anyhow::Result<()> {
    let names = names(cluster)?;
    compare_messages(old, cluster, &names)?;
    compare_follows(old, cluster, &names)?;
    let mut old_rows = Rows::new(old_session(old)?.arg(FLAGGED))?;
    let [old_count] = old_rows.next()?.context("a count has a row")?;
    let new_count = psql::query(cluster, "message", FLAGGED)?;
    ensure!(
        old_count == new_count.trim(),
        "{old_count} messages of the file are flagged, and {} imported messages are",
        new_count.trim()
    );
    Ok(())
}

fn compare_messages(
    old: &Path,
    cluster: &Cluster,
    names: &HashMap<String, String>,
) -> anyhow::Result<()> {
    let mut old = Rows::<3>::new(old_session(old)?.arg(OLD_MESSAGES))?;
    let mut new = Rows::<3>::new(psql::session(cluster, "message")?.args(["-c", NEW_MESSAGES]))?;
    for number in 1_u64.. {
        let expected = old.next()?;
        let found = match new.next()? {
            Some([author, text, time]) => Some([name(names, &author)?, text, time]),
            None => None,
        };
        ensure!(
            expected == found,
            "message {number} of the file is {expected:?}, imported as {found:?}"
        );
        if expected.is_none() {
            break;
        }
    }
    Ok(())
}

fn compare_follows(
    old: &Path,
    cluster: &Cluster,
    names: &HashMap<String, String>,
) -> anyhow::Result<()> {
    let mut expected = Rows::<2>::new(old_session(old)?.arg(OLD_FOLLOWS))?.all()?;
    let mut found = Vec::new();
    let mut new = Rows::<2>::new(psql::session(cluster, "follower")?.args(["-c", NEW_FOLLOWS]))?;
    while let Some([follower, followee]) = new.next()? {
        let follower = name(names, &follower)?;
        // Users of the simulator follow only each other.
        if follower.starts_with("user ") {
            found.push([follower, name(names, &followee)?]);
        }
    }
    expected.sort_unstable();
    found.sort_unstable();
    let difference = expected.iter().zip(&found).find(|(old, new)| old != new);
    ensure!(
        difference.is_none() && expected.len() == found.len(),
        "the file has {} follows, imported are {}; the first difference: {difference:?}",
        expected.len(),
        found.len()
    );
    Ok(())
}

/// A session in the old file that prints rows with tabs between their columns.
fn old_session(old: &Path) -> anyhow::Result<Command> {
    let mut session = psql::sqlite_session(old)?;
    session.args(["-list", "-separator", "\t"]);
    Ok(session)
}

/// Names of all accounts by their ids.
fn names(cluster: &Cluster) -> anyhow::Result<HashMap<String, String>> {
    const ACCOUNTS: &str = "COPY (SELECT id, username FROM account) TO STDOUT";
    let mut rows = Rows::<2>::new(psql::session(cluster, "user")?.args(["-c", ACCOUNTS]))?;
    let all = rows.all()?.into_iter();
    Ok(all.map(|[id, name]| (id, name)).collect())
}

fn name(names: &HashMap<String, String>, id: &str) -> anyhow::Result<String> {
    let name = names.get(id);
    name.cloned()
        .with_context(|| format!("no account has the id {id}"))
}

/// Rows that a client prints, with `N` columns separated by tabs.
struct Rows<const N: usize> {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl<const N: usize> Rows<N> {
    fn new(client: &mut Command) -> anyhow::Result<Self> {
        let mut process = client.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let output = process.stdout.take().context("the output is piped")?;
        Ok(Self {
            process,
            lines: BufReader::new(output).lines(),
        })
    }

    /// Reads the next row. Fails at the end if the client has failed.
    fn next(&mut self) -> anyhow::Result<Option<[String; N]>> {
        let Some(line) = self.lines.next().transpose()? else {
            ensure!(
                self.process.wait()?.success(),
                "the client of the database has failed, as its error output says"
            );
            return Ok(None);
        };
        let columns: Vec<String> = line.split('\t').map(str::to_owned).collect();
        match columns.try_into() {
            Ok(columns) => Ok(Some(columns)),
            Err(columns) => bail!("a row has {} columns: {line}", Vec::<String>::len(&columns)),
        }
    }

    fn all(&mut self) -> anyhow::Result<Vec<[String; N]>> {
        let mut rows = Vec::new();
        while let Some(row) = self.next()? {
            rows.push(row);
        }
        Ok(rows)
    }
}
