//! What stands around a server to make it a process.

use std::{num::NonZero, process::ExitCode, thread::available_parallelism};

use anyhow::Context as _;
use tokio::{net::TcpListener, runtime::Runtime};
use tokio_util::sync::CancellationToken;

use crate::{
    admin,
    args::ProcessArgs,
    shutdown,
    telemetry::{self, Telemetry},
};

/// Runs `body` in a runtime of its own between setting up telemetry and flushing it, whatever
/// comes of it; the token is cancelled by SIGTERM.
pub fn run(
    name: &'static str,
    args: &ProcessArgs,
    body: impl AsyncFnOnce(&Telemetry, CancellationToken) -> anyhow::Result<()>,
) -> ExitCode {
    let outcome = runtime(args).and_then(|runtime| {
        runtime.block_on(async {
            let telemetry = telemetry::init(name, &args.telemetry)?;
            let outcome = body(&telemetry, shutdown::on_signal()).await;
            if let Err(error) = &outcome {
                tracing::error!(error = format!("{error:#}"), "stopped by an error");
            }
            telemetry.shutdown();
            outcome
        })
    });
    exit_code(outcome)
}

/// What a container's health check runs: exit code 0 when the process here is ready.
pub fn probe(listen_admin: std::net::SocketAddr) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    exit_code(
        runtime
            .context("cannot start")
            .and_then(|runtime| runtime.block_on(admin::probe(listen_admin))),
    )
}

/// Binds `address`, or says which address could not be had.
pub async fn bind(address: std::net::SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))
}

fn exit_code(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(
                clippy::print_stderr,
                reason = "the last word of a process, logs or not"
            )]
            {
                eprintln!("error: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}

fn runtime(args: &ProcessArgs) -> anyhow::Result<Runtime> {
    let threads = args
        .worker_threads
        .unwrap_or_else(default_worker_threads)
        .max(1);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

/// One up to four cores: on few cores the other processes want theirs, and work that stays on one
/// thread is batched better. Half of them beyond.
fn default_worker_threads() -> usize {
    match available_parallelism().map_or(1, NonZero::get) {
        0..=4 => 1,
        more => more / 2,
    }
}
