//! `cargo xtask chaos`: what happens to the replicas of the suite, and what its users see of it.

use std::{path::PathBuf, process::Command};

use crate::{
    cargo::{cargo, find_program},
    steps::{self, Outcome},
    suite::{Binaries, target_folder},
};

/// Kill, freeze, stop, slow down, cut off and overload replicas of the suite under load.
///
/// The suite runs as many processes on loopback addresses, built with optimisation. The last lines are
/// a table of what was promised and what held. The long form takes about a quarter of an hour.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// At most three minutes: the same faults, but fewer of each
    #[arg(long)]
    short: bool,
    /// Only these scenarios
    #[arg(long, value_name = "NAMES")]
    only: Option<String>,
    /// Where chance begins, to do the same again [default: any]
    #[arg(long)]
    seed: Option<u64>,
    /// Draw the way from a slow request to its statement into this folder
    #[arg(long, value_name = "FOLDER")]
    pictures: Option<PathBuf>,
}

/// The programs of the suite, and the one that ill-treats them.
const PACKAGES: [&str; 5] = [
    "minitwit-user",
    "minitwit-follower",
    "minitwit-message",
    "minitwit-gateway",
    "minitwit-chaos",
];

/// Builds the programs and runs what was asked for.
pub(crate) fn run(options: &Options) -> anyhow::Result<Outcome> {
    let mut build = cargo(["build", "--release", "--locked"]);
    for package in PACKAGES {
        build.args(["--package", package]);
    }
    steps::run(&mut build)?;
    let folder = target_folder()?.join("release");
    let mut command = Command::new(folder.join("minitwit-chaos"));
    command.args(options.short.then_some("--short"));
    if let Some(only) = &options.only {
        command.args(["--only", only]);
    }
    if let Some(seed) = options.seed {
        command.args(["--seed", &seed.to_string()]);
    }
    if let Some(folder) = &options.pictures {
        command.arg("--pictures").arg(folder);
    }
    steps::run(&mut command)?;
    if options.only.is_some() {
        return Ok(Outcome::Passed);
    }
    simulate(if options.short { 50 } else { 1_000 }, options.seed)
}

/// Plays so many simulated worlds; the short form is one of the tests.
fn simulate(worlds: u32, seed: Option<u64>) -> anyhow::Result<Outcome> {
    let test = [
        "test",
        "--release",
        "--locked",
        "--package",
        "minitwit-chaos",
    ];
    let mut command = cargo(test);
    command.args(["--test", "simulation", "--", "--nocapture"]);
    command.env("MINITWIT_SIMULATED_WORLDS", worlds.to_string());
    if let Some(seed) = seed {
        command.env("MINITWIT_SIMULATED_SEED", seed.to_string());
    }
    steps::run(&mut command)
}

/// Runs the short form with the programs that are there, beside this one. They are not optimised, so
/// it judges promises alone (nothing lost, doubled or undone) and only tells of missed bars.
pub(crate) fn short() -> anyhow::Result<Outcome> {
    if find_program("haproxy").is_none() {
        return Ok(Outcome::Skipped(
            "there is no haproxy: `apt-get install haproxy`".to_owned(),
        ));
    }
    let program = Binaries::beside()?.program("minitwit-chaos");
    steps::run(Command::new(program).arg("--short"))
}
