//! The options of a service that owns a database.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::Context as _;
use chassis::args::{DrainArgs, ProcessArgs, secret};
use clap::Args;
use secrecy::SecretString;

/// The options of a service's own process.
#[derive(Args, Clone, Debug)]
pub struct ServiceArgs {
    /// Where the gRPC interface listens
    #[arg(long, env, value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Where metrics and health listen
    #[arg(long, env, value_name = "ADDRESS")]
    pub listen_admin: SocketAddr,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as help")]
    pub database: DatabaseArgs,
    /// Answer gRPC reflection, for tools such as grpcurl
    #[arg(long, env)]
    pub reflection: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as help")]
    pub drain: DrainArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as help")]
    pub process: ProcessArgs,
}

/// Which database a service owns.
#[derive(Args, Clone, Debug)]
pub struct DatabaseArgs {
    /// The database: `postgres://…` or `sqlite:…`
    #[arg(long, env, hide_env_values = true, value_name = "URL")]
    pub database_url: Option<SecretString>,
    /// A file that holds the database's URL
    #[arg(long, env, value_name = "FILE")]
    pub database_url_file: Option<PathBuf>,
    /// How long one statement may take on PostgreSQL before it is cancelled, in milliseconds
    #[arg(long, env, default_value_t = 220, value_name = "MS")]
    pub statement_timeout_ms: u64,
}

impl DatabaseArgs {
    /// The database's URL.
    ///
    /// # Errors
    ///
    /// None is given, or the file that holds it cannot be read.
    pub fn url(&self) -> anyhow::Result<SecretString> {
        secret(
            "DATABASE_URL",
            self.database_url.as_ref(),
            self.database_url_file.as_ref(),
        )?
        .context("no database: set --database-url, DATABASE_URL or DATABASE_URL_FILE")
    }
}
