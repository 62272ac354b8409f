//! Options and environment variables.

use clap::{Parser, ValueEnum};

#[derive(Debug, Parser)]
#[command(about = "The simulator API as one process over one PostgreSQL database")]
pub(crate) struct Config {
    /// The URL of the database, whose schema is bench/data/monolith.sql.
    #[arg(long, env)]
    pub(crate) database_url: String,

    /// The port on 127.0.0.1 to listen on.
    #[arg(long, env, default_value_t = 5010)]
    pub(crate) port: u16,

    /// How `latest` is stored.
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
    /// Durable before the response, with a row per connection. The newest row has the value.
    Db,
    /// Durable before the response, in a single row. Commits wait for the lock of the row.
    Row,
    /// A single row with asynchronous commits. A crash of the database may lose the last values.
    Async,
    /// In memory only. A restart loses the value.
    Mem,
}
