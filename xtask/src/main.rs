//! The project's own commands: `cargo xtask test` is what CI runs, `bench` what the README shows.
#![expect(
    clippy::print_stdout,
    reason = "a command-line tool talks to its terminal"
)]

mod bench;
mod cargo;
mod chaos;
mod consistency;
mod coverage;
mod http;
mod import;
mod load;
mod ops;
mod process;
mod psql;
mod setup;
mod simulation;
mod sqlite;
mod steal;
mod steps;
mod suite;
mod swarm;
mod test;
mod wait;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    Test(test::Options),
    /// Check the format and the lints, nothing else.
    ///
    /// Quick enough for a pre-commit hook; needs nothing but the Rust toolchain.
    Check,
    /// Check what is deployed: stack, edge, alerts, dashboards, scripts.
    Ops {
        /// Let a Prometheus watch the suite as well; wants an idle machine.
        #[arg(long)]
        live: bool,
    },
    Chaos(chaos::Options),
    Bench(bench::Options),
    Consistency(consistency::Options),
    Import(import::Options),
    Coverage(coverage::Options),
    Swarm(swarm::Options),
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Test(options) => test::run(&options),
        Task::Check => Ok(test::check()),
        Task::Ops { live } => Ok(ops::run(live)),
        Task::Chaos(options) => chaos::run(&options).map(|_| ExitCode::SUCCESS),
        Task::Bench(options) => bench::run(&options),
        Task::Consistency(options) => consistency::run(&options),
        Task::Import(options) => import::run(&options),
        Task::Coverage(options) => coverage::run(&options).map(|_| ExitCode::SUCCESS),
        Task::Swarm(options) => swarm::run(&options),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
