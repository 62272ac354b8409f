//! Development commands of the project. CI runs `cargo xtask test`.
#![expect(
    clippy::print_stdout,
    reason = "a command-line tool writes to its terminal"
)]

mod cargo;
mod coverage;
mod lab;
mod ops;
mod setup;
mod steps;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::setup::Scope;

/// Development commands of the project.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    Test(test::Options),
    /// Check format, lints and imports.
    ///
    /// Quick enough for a pre-commit hook. Needs the Rust toolchain only.
    Check,
    /// Install the programs that `cargo xtask test` needs.
    Setup,
    /// Check the files of the stack, edge, alerts, dashboards, migrations, workflows and scripts.
    Ops {
        /// Also run a Prometheus that scrapes the suite. Needs an idle machine.
        #[arg(long)]
        live: bool,
    },
    /// Kill, freeze, stop, slow down, cut off and overload replicas of the suite under load.
    Chaos(lab::Arguments),
    /// Compare the suite with a monolith, with itself without telemetry, or with another build.
    Bench(lab::Arguments),
    /// Write through one gateway and read through another.
    Consistency(lab::Arguments),
    /// Import a large old database while the suite serves.
    Import(lab::Arguments),
    Coverage(coverage::Options),
    /// Deploy the stack on a real Swarm of three machines and test updates and failures.
    Swarm(lab::Arguments),
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Test(options) => test::run(&options),
        Task::Check => Ok(test::check()),
        Task::Setup => setup::install_missing(Scope::AllSteps).map(|()| ExitCode::SUCCESS),
        Task::Ops { live } => Ok(ops::run(live)),
        Task::Chaos(options) => lab::run("chaos", &options),
        Task::Bench(options) => lab::run("bench", &options),
        Task::Consistency(options) => lab::run("consistency", &options),
        Task::Import(options) => lab::run("import", &options),
        Task::Coverage(options) => coverage::run(&options).map(|_| ExitCode::SUCCESS),
        Task::Swarm(options) => lab::run("swarm", &options),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
