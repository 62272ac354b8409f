//! The simulator as a program of its own, without the suite: `cargo run --example simulate -- URL`.

use std::process::ExitCode;

use clap::Parser;
use minitwit_simulator::{SimulateArgs, run};

#[derive(Parser)]
#[command(name = "simulate")]
struct Cli {
    #[command(flatten)]
    args: SimulateArgs,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    Ok(run(Cli::parse().args).await?.into())
}
