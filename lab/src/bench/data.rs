//! The databases of both sides, which have the same rows and are reset between measurements.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, ensure};
use minitwit_postgres::{Cluster, ClusterOptions};
use tempfile::TempDir;
use xtask::workspace;

use super::Engine;
use crate::{
    command,
    fleet::{DatabaseUrls, Programs, Role},
    psql,
};

/// Settings of the server, with enough memory for the data, durable commits, and no checkpoint during a
/// measurement of one side only.
const SETTINGS: [(&str, &str); 5] = [
    ("shared_buffers", "256MB"),
    ("effective_cache_size", "1GB"),
    ("max_wal_size", "4GB"),
    ("checkpoint_timeout", "1h"),
    ("synchronous_commit", "on"),
];

/// Time of the first message in milliseconds, as in the SQL files.
const FIRST_MESSAGE_MS: u64 = 1_704_067_200_000;
/// Time of the first account in milliseconds, as in the SQL files.
const FIRST_ACCOUNT_MS: u64 = 1_701_388_800_000;

/// Computes the versions of the authors' timelines, which copies and deletions of rows do not update.
const VERSIONS: &str = "TRUNCATE timeline; INSERT INTO timeline (author_id, version)
    SELECT author_id, bit_xor(uuid_hash_extended(id, 0)) FROM message
    WHERE NOT flagged GROUP BY author_id";

/// Database of the repository's monolith.
const MONOLITH: &str = "mono";
/// Database of a monolith with a schema of its own.
const OPPONENT: &str = "opponent";

/// Number of rows.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Scale {
    /// Number of users who write and follow; 400 more are followed by the load
    #[arg(long, default_value_t = 5_000, value_name = "N")]
    pub(super) users: u64,
    /// Number of messages before the load
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    pub(super) messages: u64,
    /// Number of follows before the load
    #[arg(long, default_value_t = 50_000, value_name = "N")]
    pub(super) follows: u64,
}

/// The databases of both sides.
#[derive(Debug)]
pub(super) struct Databases {
    cluster: Cluster,
    scale: Scale,
    engine: Engine,
    /// Schema and rows of a monolith that is not the repository's.
    opponent: Option<PathBuf>,
    /// Folder of SQLite's files.
    folder: TempDir,
}

impl Databases {
    /// Starts PostgreSQL and fills all databases.
    pub(super) fn load(
        programs: &Programs,
        scale: Scale,
        engine: Engine,
        opponent: Option<PathBuf>,
    ) -> anyhow::Result<Self> {
        let databases = Self {
            cluster: Cluster::start(ClusterOptions::default())?,
            scale,
            engine,
            opponent,
            folder: tempfile::tempdir().context("cannot create a folder for SQLite")?,
        };
        for (name, value) in SETTINGS {
            let setting = format!("ALTER SYSTEM SET {name} = '{value}'");
            psql::execute(&databases.cluster, "postgres", &setting)?;
        }
        databases.cluster.stop_fast()?;
        databases.cluster.start_again()?;
        databases.load_monolith()?;
        for role in Role::SERVICES {
            databases.load_service(programs, role)?;
        }
        psql::execute(&databases.cluster, "postgres", "CHECKPOINT")?;
        Ok(databases)
    }

    /// URL of the monolith's database.
    pub(super) fn monolith_url(&self) -> String {
        let is_foreign = self.opponent.is_some();
        self.cluster
            .url(if is_foreign { OPPONENT } else { MONOLITH })
    }

    /// URLs of the services' databases.
    pub(super) fn urls(&self) -> DatabaseUrls {
        let url = |role| (role, self.url(role));
        Role::SERVICES.into_iter().map(url).collect()
    }

    fn url(&self, role: Role) -> String {
        match self.engine {
            Engine::Postgres => self.cluster.url(&database(role)),
            Engine::Sqlite => format!("sqlite:{}", self.file(role).display()),
        }
    }

    /// Folder of the suite's SQLite files.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Deletes the rows that the load has written, on both sides.
    pub(super) fn reset(&self) -> anyhow::Result<()> {
        match &self.opponent {
            None => self.run_file(MONOLITH, &data("monolith_reset.sql"))?,
            Some(_) => self.run_file(OPPONENT, &data("opponent_reset.sql"))?,
        }
        // The load's rows have later keys than the rows before the load.
        let message = key(FIRST_MESSAGE_MS + (self.scale.messages + 1) * 1_000);
        let account = key(FIRST_ACCOUNT_MS + (self.scale.users + 1) * 1_000);
        let prefix = match self.engine {
            Engine::Postgres => "",
            Engine::Sqlite => "x",
        };
        let messages = format!("DELETE FROM message WHERE id >= {prefix}'{message}'");
        let follows = format!("DELETE FROM follow WHERE followee_id >= {prefix}'{account}'");
        self.execute(Role::Message, &messages)?;
        self.execute(Role::Follower, &follows)?;
        Role::SERVICES
            .into_iter()
            .try_for_each(|role| self.clean_up(role))
    }

    fn load_monolith(&self) -> anyhow::Result<()> {
        // The repository's monolith is always loaded, because the suite's rows are made from its rows.
        psql::create(&self.cluster, MONOLITH)?;
        self.run_file(MONOLITH, &data("monolith.sql"))?;
        if let Some(opponent) = &self.opponent {
            psql::create(&self.cluster, OPPONENT)?;
            self.run_file(OPPONENT, opponent)?;
        }
        Ok(())
    }

    fn load_service(&self, programs: &Programs, role: Role) -> anyhow::Result<()> {
        let (table, columns) = match role {
            Role::User => ("account", "id, username, email, pw_hash, avatar_hash"),
            Role::Follower => ("follow", "follower_id, followee_id, following, stamp"),
            _ => ("message", "author_id, id, text"),
        };
        let database = database(role);
        if self.engine == Engine::Postgres {
            psql::create(&self.cluster, &database)?;
        }
        programs.migrate(role, &self.url(role))?;
        let view = match self.engine {
            Engine::Postgres => format!("suite_{table}"),
            Engine::Sqlite => format!("sqlite_{table}"),
        };
        let mut source = self.session(MONOLITH)?;
        source.arg("--file").arg(data("suite.sql")).args([
            "--command",
            &format!("COPY (SELECT * FROM {view}) TO STDOUT"),
        ]);
        let mut sink = match self.engine {
            Engine::Postgres => {
                let mut sink = self.session(&database)?;
                sink.args(["--command", &format!("COPY {table} ({columns}) FROM STDIN")]);
                sink
            }
            Engine::Sqlite => {
                let mut sink = self.sqlite(role)?;
                // One transaction, which `pipe` commits.
                sink.args(["-cmd", "PRAGMA synchronous = off", "-cmd", "BEGIN"]);
                sink
            }
        };
        pipe(&mut source, &mut sink, self.engine)
            .with_context(|| format!("cannot load {table}"))?;
        self.clean_up(role)
    }

    /// Runs a statement in a service's database.
    fn execute(&self, role: Role, sql: &str) -> anyhow::Result<()> {
        match self.engine {
            Engine::Postgres => psql::execute(&self.cluster, &database(role), sql),
            Engine::Sqlite => command::run(self.sqlite(role)?.arg(sql)),
        }
    }

    /// Removes all traces of deleted rows from a service's database.
    fn clean_up(&self, role: Role) -> anyhow::Result<()> {
        match self.engine {
            Engine::Postgres => {
                if role == Role::Message {
                    self.execute(role, VERSIONS)?;
                }
                self.execute(role, "VACUUM ANALYZE")?;
                self.execute(role, "CHECKPOINT")
            }
            Engine::Sqlite => self.execute(role, "PRAGMA wal_checkpoint(TRUNCATE)"),
        }
    }

    fn file(&self, role: Role) -> PathBuf {
        self.folder.path().join(format!("{}.db", role.name()))
    }

    fn sqlite(&self, role: Role) -> anyhow::Result<Command> {
        let mut command = psql::sqlite_session(&self.file(role))?;
        // The suite has the file open as well.
        command.args(["-cmd", ".timeout 10000"]);
        Ok(command)
    }

    fn run_file(&self, database: &str, path: &Path) -> anyhow::Result<()> {
        command::run(self.session(database)?.arg("--file").arg(path))
    }

    /// A session in a database of PostgreSQL, with the numbers of rows as variables.
    fn session(&self, database: &str) -> anyhow::Result<Command> {
        let mut command = psql::session(&self.cluster, database)?;
        for (name, value) in [
            ("users", self.scale.users),
            ("messages", self.scale.messages),
            ("follows", self.scale.follows),
        ] {
            command.args(["--set", &format!("{name}={value}")]);
        }
        Ok(command)
    }
}

/// Name of a service's database in PostgreSQL.
fn database(role: Role) -> String {
    format!("bench_{}", role.name())
}

/// The least UUID of a time, as both engines read it.
fn key(millis: u64) -> String {
    format!("{millis:012x}{:020}", 0)
}

fn data(name: &str) -> PathBuf {
    workspace().join("bench/data").join(name)
}

/// Sends all output of `source` to `sink`. With SQLite, commits at the end.
fn pipe(source: &mut Command, sink: &mut Command, engine: Engine) -> anyhow::Result<()> {
    let mut reader = source.stdout(Stdio::piped()).spawn()?;
    let mut rows = reader.stdout.take().context("the output is piped")?;
    let mut writer = sink.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    let mut input = writer.stdin.take().context("the input is piped")?;
    std::io::copy(&mut rows, &mut input)?;
    if engine == Engine::Sqlite {
        std::io::Write::write_all(&mut input, b"COMMIT;\n")?;
    }
    drop(input);
    let (read, written) = (reader.wait()?, writer.wait()?);
    ensure!(
        read.success() && written.success(),
        "a client of the database has failed, as its error output says"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_time_is_the_least_with_that_time() {
        let key = key(FIRST_MESSAGE_MS);

        assert_eq!(key.len(), 32);
        assert_eq!(key, "018cc251f40000000000000000000000");
    }
}
