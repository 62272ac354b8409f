//! The simulator API as one process over one PostgreSQL database, optimised for speed.
//!
//! The suite is compared with this program, so it has every optimisation that makes a monolith fast and keeps it
//! correct. Each request has one prepared statement, which also moves `latest`. Indexes answer look-ups without the
//! table. No round trip tests a connection. Only the suite's own idea is missing, so requests never share a statement
//! and no response comes from memory.

mod account;
mod app;
mod body;
mod caller;
mod config;
mod database;
mod follow;
mod latest;
mod message;
mod page;
mod refusal;

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
        // Blocking threads only hash passwords, with 19 MB each.
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
                tracing::warn!(%error, "a connection answers late: no TCP_NODELAY");
            }
        });
    let app = App::connect(&config).await?;
    tracing::info!(port = config.port, latest = ?config.latest, "serving");
    axum::serve(listener, app.router()).await.context("serve")
}
