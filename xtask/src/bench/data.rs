//! The databases of both sides: created, filled with the same rows, and put back between runs.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, bail};
use minitwit_postgres::{Cluster, ClusterOptions};
use tempfile::TempDir;

use crate::{
    cargo::workspace,
    psql, sqlite,
    suite::{Binaries, SERVICES},
};

use super::Engine;

/// What both sides find, whoever they are: enough memory for the data, durable commits, and no
/// checkpoint that falls into one side's turn.
const SETTINGS: [(&str, &str); 5] = [
    ("shared_buffers", "256MB"),
    ("effective_cache_size", "1GB"),
    ("max_wal_size", "4GB"),
    ("checkpoint_timeout", "1h"),
    ("synchronous_commit", "on"),
];

/// When the first message was written and the first account made, in milliseconds: see the SQL.
const FIRST_MESSAGE_MS: u64 = 1_704_067_200_000;
const FIRST_ACCOUNT_MS: u64 = 1_701_388_800_000;

/// The versions of authors' timelines, which nobody has kept while rows were copied and deleted.
const VERSIONS: &str = "TRUNCATE timeline; INSERT INTO timeline (author_id, version)
    SELECT author_id, bit_xor(uuid_hash_extended(id, 0)) FROM message
    WHERE NOT flagged GROUP BY author_id";

/// The monolith's database.
const MONOLITH: &str = "mono";
/// The database of a monolith with a schema of its own.
const OPPONENT: &str = "opponent";

/// How much is in the databases.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Scale {
    /// How many users write and follow; 400 more are followed by the load
    #[arg(long, default_value_t = 5_000, value_name = "N")]
    pub(crate) users: u64,
    /// How many messages there are before the load
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    pub(crate) messages: u64,
    /// How many follows there are before the load
    #[arg(long, default_value_t = 50_000, value_name = "N")]
    pub(crate) follows: u64,
}

/// The databases of both sides.
#[derive(Debug)]
pub(crate) struct Databases {
    cluster: Cluster,
    scale: Scale,
    engine: Engine,
    /// The schema and rows of a monolith that is not ours.
    opponent: Option<PathBuf>,
    /// SQLite's files.
    folder: TempDir,
}

impl Databases {
    /// Starts PostgreSQL and fills everything.
    pub(crate) fn load(
        binaries: &Binaries,
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
        for name in SERVICES {
            databases.load_service(binaries, name)?;
        }
        psql::execute(&databases.cluster, "postgres", "CHECKPOINT")?;
        Ok(databases)
    }

    /// The URL of the monolith's database.
    pub(crate) fn monolith_url(&self) -> String {
        let is_foreign = self.opponent.is_some();
        self.cluster
            .url(if is_foreign { OPPONENT } else { MONOLITH })
    }

    /// The URL of a service's database.
    pub(crate) fn service_url(&self, name: &str) -> String {
        match self.engine {
            Engine::Postgres => self.cluster.url(&format!("bench_{name}")),
            Engine::Sqlite => format!("sqlite:{}", self.file(name).display()),
        }
    }

    /// The folder of the suite's SQLite files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Takes back what the load has written, on both sides.
    pub(crate) fn reset(&self) -> anyhow::Result<()> {
        match &self.opponent {
            None => self.run_file(MONOLITH, &data("monolith_reset.sql"))?,
            Some(_) => self.run_file(OPPONENT, &data("opponent_reset.sql"))?,
        }
        // What is made under load is younger than all that was there before.
        let message = key(FIRST_MESSAGE_MS + (self.scale.messages + 1) * 1_000);
        let account = key(FIRST_ACCOUNT_MS + (self.scale.users + 1) * 1_000);
        let quote = match self.engine {
            Engine::Postgres => "",
            Engine::Sqlite => "x",
        };
        let messages = format!("DELETE FROM message WHERE id >= {quote}'{message}'");
        let follows = format!("DELETE FROM follow WHERE followee_id >= {quote}'{account}'");
        self.write("message", &messages)?;
        self.write("follower", &follows)?;
        for name in SERVICES {
            self.tidy(name)?;
        }
        Ok(())
    }

    fn load_monolith(&self) -> anyhow::Result<()> {
        // Ours is loaded in any case: the suite's rows are made of it.
        psql::create(&self.cluster, MONOLITH)?;
        self.run_file(MONOLITH, &data("monolith.sql"))?;
        if let Some(opponent) = &self.opponent {
            psql::create(&self.cluster, OPPONENT)?;
            self.run_file(OPPONENT, opponent)?;
        }
        Ok(())
    }

    fn load_service(&self, binaries: &Binaries, name: &str) -> anyhow::Result<()> {
        let (table, columns) = match name {
            "user" => ("account", "id, username, email, pw_hash, avatar_hash"),
            "follower" => ("follow", "follower_id, followee_id, following, stamp"),
            _ => ("message", "author_id, id, text"),
        };
        let database = format!("bench_{name}");
        if self.engine == Engine::Postgres {
            psql::create(&self.cluster, &database)?;
        }
        binaries.migrate(name, &self.service_url(name))?;
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
                let mut sink = self.sqlite(name)?;
                // One transaction, committed by the end of the input.
                sink.args(["-cmd", "PRAGMA synchronous = off", "-cmd", "BEGIN"]);
                sink
            }
        };
        pipe(&mut source, &mut sink, self.engine)
            .with_context(|| format!("cannot load {table}"))?;
        self.tidy(name)
    }

    /// Runs a statement in a service's database.
    fn write(&self, name: &str, sql: &str) -> anyhow::Result<()> {
        match self.engine {
            Engine::Postgres => psql::execute(&self.cluster, &format!("bench_{name}"), sql),
            Engine::Sqlite => psql::run(self.sqlite(name)?.arg(sql)),
        }
    }

    /// Leaves a service's database as if nothing had ever been deleted.
    fn tidy(&self, name: &str) -> anyhow::Result<()> {
        match self.engine {
            Engine::Postgres => {
                if name == "message" {
                    self.write(name, VERSIONS)?;
                }
                self.write(name, "VACUUM ANALYZE")?;
                self.write(name, "CHECKPOINT")
            }
            Engine::Sqlite => self.write(name, "PRAGMA wal_checkpoint(TRUNCATE)"),
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.db"))
    }

    fn sqlite(&self, name: &str) -> anyhow::Result<Command> {
        let mut command = sqlite::session(&self.file(name))?;
        // The suite holds the file open as well.
        command.args(["-cmd", ".timeout 10000"]);
        Ok(command)
    }

    fn run_file(&self, database: &str, path: &Path) -> anyhow::Result<()> {
        psql::run(self.session(database)?.arg("--file").arg(path))
    }

    /// A session in one of PostgreSQL's databases, with the scale as variables.
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

/// The least UUID of a moment, as SQL of both engines reads it.
fn key(millis: u64) -> String {
    format!("{millis:012x}{:020}", 0)
}

fn data(name: &str) -> PathBuf {
    workspace().join("bench/data").join(name)
}

/// Sends all that `source` writes into `sink`; SQLite is told to commit at its end.
fn pipe(source: &mut Command, sink: &mut Command, engine: Engine) -> anyhow::Result<()> {
    let mut reader = source.stdout(Stdio::piped()).spawn()?;
    let mut rows = reader.stdout.take().expect("its output is piped");
    let mut writer = sink.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    let mut input = writer.stdin.take().expect("its input is piped");
    std::io::copy(&mut rows, &mut input)?;
    if engine == Engine::Sqlite {
        std::io::Write::write_all(&mut input, b"COMMIT;\n")?;
    }
    drop(input);
    if !(reader.wait()?.success() && writer.wait()?.success()) {
        bail!("it is said above why");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_moment_is_the_least_of_it() {
        let key = key(FIRST_MESSAGE_MS);

        assert_eq!(key.len(), 32);
        assert_eq!(key, "018cc251f40000000000000000000000");
    }
}
