//! `cargo xtask coverage`: which lines the tests run through.

use std::{fs, process::Command};

use anyhow::{Context, bail};
use minitwit_postgres::{Cluster, ClusterOptions};
use xtask::target_folder;

use crate::{
    cargo::{cargo, find_program},
    setup,
    steps::{self, Outcome},
    test::{EVERYTHING, SERVER_VARIABLE},
};

/// Run all tests and tell which lines they run through.
///
/// Needs cargo-llvm-cov, cargo-nextest and the toolchain's component `llvm-tools`, and what the tests
/// need, as for `cargo xtask test`: PostgreSQL, `HAProxy`, Chromium, and npm, which brings axe-core. What
/// is missing of these is installed, or asked for, in the same way. The summary and a file for editors
/// and services (lcov) are left in target/coverage.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Install nothing: work with what is there.
    #[arg(long)]
    no_install: bool,
}

/// Measures, shows the summary, and leaves both forms in a folder.
pub(crate) fn run(options: &Options) -> anyhow::Result<Outcome> {
    for program in ["cargo-llvm-cov", "cargo-nextest"] {
        if find_program(program).is_none() {
            bail!("{program} is not installed: `cargo install {program}` brings it");
        }
    }
    if !options.no_install {
        setup::install_missing()?;
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
