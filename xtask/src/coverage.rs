//! Command `cargo xtask coverage`, which measures the line coverage of the tests.

use std::{fs, process::Command};

use anyhow::{Context, bail};
use minitwit_postgres::{Cluster, ClusterOptions};
use xtask::target_folder;

use crate::{
    cargo::{cargo, find_program},
    setup::{self, Scope},
    steps::{self, Outcome},
    test::{EVERYTHING, SERVER_VARIABLE},
};

/// Run all tests and measure which lines they execute.
///
/// Needs cargo-llvm-cov, cargo-nextest, the component `llvm-tools` of the toolchain, and the programs
/// that the tests need. Those programs are installed as by `cargo xtask test`. The summary and a file
/// for editors and services (lcov) are written to target/coverage.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Install nothing. Tests without their programs fail.
    #[arg(long)]
    no_install: bool,
}

/// Measures the coverage, prints the summary, and writes both files.
pub(crate) fn run(options: &Options) -> anyhow::Result<Outcome> {
    for program in ["cargo-llvm-cov", "cargo-nextest"] {
        if find_program(program).is_none() {
            bail!("{program} is not installed: run `cargo install {program}`");
        }
    }
    if !options.no_install {
        setup::install_missing(Scope::Tests)?;
    }
    let cluster = Cluster::start(ClusterOptions {
        durable: false,
        ..ClusterOptions::default()
    })?;
    let mut tests = cargo(["llvm-cov", "--no-report", "nextest"]);
    tests
        .args(EVERYTHING)
        .env(SERVER_VARIABLE, cluster.url("postgres"));
    steps::run(&mut tests)?;

    let folder = target_folder()?.join("coverage");
    fs::create_dir_all(&folder)?;
    let mut lcov = cargo(["llvm-cov", "report", "--lcov", "--output-path"]);
    steps::run(lcov.arg(folder.join("lcov.info")))?;
    let summary = summary(&mut cargo(["llvm-cov", "report", "--summary-only"]))?;
    println!("{summary}");
    fs::write(folder.join("summary.txt"), summary)?;
    Ok(Outcome::Passed)
}

fn summary(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().context("cannot run cargo llvm-cov")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).context("the summary is not UTF-8")
}
