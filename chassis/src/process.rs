//! The parts of a process around its server, such as runtime, telemetry, signals and exit code.

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

/// Runs `body` in a new tokio runtime. Sets up telemetry before, and flushes it afterwards, also when
/// `body` fails. The token is cancelled by SIGTERM or SIGINT.
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
                tracing::error!(
                    error = format!("{error:#}"),
                    "the process stops because of an error"
                );
            }
            telemetry.shutdown();
            outcome
        })
    });
    exit_code(outcome)
}

/// Runs the health check of a container. Returns exit code 0 when the process that serves
/// `listen_admin` on this machine is ready.
pub fn probe(listen_admin: std::net::SocketAddr) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    exit_code(
        runtime
            .context("cannot start the tokio runtime")
            .and_then(|runtime| runtime.block_on(admin::probe(listen_admin))),
    )
}

/// Binds a TCP listener.
///
/// # Errors
///
/// `address` cannot be bound. The error names it.
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
                reason = "the final error must be visible even without logs"
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
        .context("cannot start the tokio runtime")
}

/// One thread up to four cores, else half of the cores. On few cores, other processes of the suite need
/// cores too, and requests on one thread form larger batches.
fn default_worker_threads() -> usize {
    match available_parallelism().map_or(1, NonZero::get) {
        0..=4 => 1,
        more => more / 2,
    }
}
