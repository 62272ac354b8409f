//! The project's own commands: `cargo xtask test` is what CI runs.
#![expect(
    clippy::print_stdout,
    reason = "a command-line tool talks to its terminal"
)]

mod cargo;
mod chaos;
mod ops;
mod setup;
mod simulation;
mod steps;
mod test;

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
    Chaos(chaos::Options),
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Test(options) => test::run(&options),
        Task::Check => Ok(test::check()),
        Task::Chaos(options) => chaos::run(&options).map(|_| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
