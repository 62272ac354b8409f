//! Options of the command line and the environment.

use clap::{Parser, ValueEnum};

#[derive(Debug, Parser)]
#[command(about = "The simulator API as one process over one PostgreSQL database")]
pub(crate) struct Config {
    /// URL of the database, whose schema is bench/data/monolith.sql.
    #[arg(long, env)]
    pub(crate) database_url: String,

    /// Port on 127.0.0.1.
    #[arg(long, env, default_value_t = 5010)]
    pub(crate) port: u16,

    /// Way to store `latest`.
    #[arg(long, env, value_enum, default_value_t = LatestMode::Db)]
    pub(crate) latest: LatestMode,

    /// Number of threads that run requests.
    #[arg(long, env, default_value_t = 2)]
    pub(crate) threads: usize,

    /// Number of connections to the database.
    #[arg(long, env, default_value_t = 20)]
    pub(crate) connections: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum LatestMode {
    /// Durable before the response, with a row per connection, of which the newest is valid.
    Db,
    /// Durable before the response, in one row. Commits wait for its lock, one fsync after the other.
    Row,
    /// One row whose commit is not awaited, so a crash of the database can lose the last moves.
    Async,
    /// Memory only, so a restart loses the value.
    Mem,
}
