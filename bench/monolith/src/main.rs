//! The simulator API as one process over one PostgreSQL database, written to be hard to beat.
//!
//! The suite is measured against this program, so it uses every optimisation of a monolith that
//! keeps it correct. A request is one prepared statement, which also updates `latest`. Index-only
//! scans answer look-ups. Connections are not tested before use. Two techniques of the suite are
//! left out: requests never share a statement, and no response comes from a cache.

mod account;
mod app;
mod body;
mod config;
mod database;
mod error;
mod follow;
mod latest;
mod message;
mod page;
mod request;

use anyhow::Context;
use axum::serve::ListenerExt;
use clap::Parser;
use tokio::net::TcpListener;

use crate::{app::App, config::Config};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .init();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.threads)
        // Blocking threads only hash passwords, and each needs 19 MB.
        .max_blocking_threads(config.threads)
        .enable_all()
        .build()
        .context("start the runtime")?
        .block_on(serve(config))
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", config.port))
        .await
        .with_context(|| format!("listen on port {}", config.port))?
        .tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::warn!(%error, "cannot set TCP_NODELAY, so responses may be delayed");
            }
        });
    let app = App::connect(&config).await?;
    tracing::info!(port = config.port, latest = ?config.latest, "serving");
    axum::serve(listener, app.router()).await.context("serve")
}
