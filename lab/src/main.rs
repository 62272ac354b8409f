//! Fault tests, benches, and other measurements of the suite as several processes.
//!
//! All commands share the fleet, which starts the processes, the HTTP client, and the load. `cargo xtask`
//! builds this program and passes its commands on.
#![expect(
    clippy::print_stdout,
    reason = "a command-line tool writes to its terminal"
)]

mod bench;
mod chart;
mod command;
mod consistency;
mod fleet;
mod http;
mod import;
mod load;
mod prometheus;
mod psql;
mod scenario;
mod simulation;
mod steal;
mod trial;
mod wait;

use std::{process::ExitCode, time::Duration};

use anyhow::Context;
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::scenario::{process, swarm};

/// Maximum time from a signal to the end of the command.
const STOP_TIME_MAX: Duration = Duration::from_secs(3);

/// Exit code after a signal, as of a shell.
const EXIT_CODE_SIGNAL: i32 = 130;

/// Fault tests, benches, and other measurements of the suite.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Chaos(process::Options),
    Bench(bench::Options),
    Consistency(consistency::Options),
    Import(import::Options),
    Swarm(swarm::Options),
    /// Run the simulator against the whole suite in one process, as a step of the tests.
    Simulation(fleet::Build),
    /// Let a Prometheus scrape the suite and evaluate alerts and dashboards, as a step of the tests.
    Prometheus(fleet::Build),
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    let result = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("cannot start the runtime")
        .and_then(|runtime| runtime.block_on(run_until_signal(command)));
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// Runs a command. A signal drops the command and thereby ends all its processes.
async fn run_until_signal(command: Command) -> anyhow::Result<ExitCode> {
    let stop = CancellationToken::new();
    tokio::spawn(exit_after_signal(stop.clone()));
    tokio::select! {
        result = run(command) => result,
        () = stop.cancelled() => anyhow::bail!("stopped by a signal"),
    }
}

/// Cancels the command at a signal, and ends this program if the command blocks. Then the watchdogs end
/// all processes of the command.
async fn exit_after_signal(stop: CancellationToken) -> anyhow::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
    }
    stop.cancel();
    tokio::time::sleep(STOP_TIME_MAX).await;
    std::process::exit(EXIT_CODE_SIGNAL)
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Chaos(options) => process::run(&options).await,
        Command::Bench(options) => bench::run(&options).await,
        Command::Consistency(options) => consistency::run(&options).await,
        Command::Import(options) => import::run(&options).await,
        Command::Swarm(options) => swarm::run(&options).await,
        Command::Simulation(build) => simulation::run(&build).await,
        Command::Prometheus(build) => prometheus::run(&build).await,
    }
}
