//! What the command line and the environment decide.

use clap::{Parser, ValueEnum};

#[derive(Debug, Parser)]
#[command(about = "The simulator API as one process over one PostgreSQL database")]
pub(crate) struct Config {
    /// Where the database is; its schema is bench/data/monolith.sql.
    #[arg(long, env)]
    pub(crate) database_url: String,

    /// The port on 127.0.0.1 to serve.
    #[arg(long, env, default_value_t = 5010)]
    pub(crate) port: u16,

    /// How `latest` is kept.
    #[arg(long, env, value_enum, default_value_t = LatestMode::Db)]
    pub(crate) latest: LatestMode,

    /// Threads that run requests.
    #[arg(long, env, default_value_t = 2)]
    pub(crate) threads: usize,

    /// Connections to the database.
    #[arg(long, env, default_value_t = 20)]
    pub(crate) connections: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum LatestMode {
    /// Durable before the reply: a row per connection, the newest of which counts.
    Db,
    /// Durable before the reply, in one row: commits queue for its lock, one fsync after the other.
    Row,
    /// One row whose commit is not awaited: a crash of the database may forget the last moments.
    Async,
    /// Memory only: a restart forgets it.
    Mem,
}
