//! Options of a service that owns a database.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::Context as _;
use chassis::args::{DrainArgs, ProcessArgs, secret};
use clap::Args;
use secrecy::SecretString;

/// Options of the process of a service.
#[derive(Args, Clone, Debug)]
pub struct ServiceArgs {
    /// Address of the gRPC interface
    #[arg(long, env, value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Address of metrics and health checks
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

/// Options of a service's database.
#[derive(Args, Clone, Debug)]
pub struct DatabaseArgs {
    /// URL of the database: `postgres://…` or `sqlite:…`
    #[arg(long, env, hide_env_values = true, value_name = "URL")]
    pub database_url: Option<SecretString>,
    /// File that contains the URL of the database
    #[arg(long, env, value_name = "FILE")]
    pub database_url_file: Option<PathBuf>,
    /// Time after which PostgreSQL cancels a statement, in milliseconds
    #[arg(long, env, default_value_t = 220, value_name = "MS")]
    pub statement_timeout_ms: u64,
}

impl DatabaseArgs {
    /// The URL of the database.
    ///
    /// # Errors
    ///
    /// No URL is given, or both the URL and a file are given, or the file cannot be read.
    pub fn url(&self) -> anyhow::Result<SecretString> {
        secret(
            "DATABASE_URL",
            self.database_url.as_ref(),
            self.database_url_file.as_ref(),
        )?
        .context("no database: set --database-url, DATABASE_URL or DATABASE_URL_FILE")
    }
}
