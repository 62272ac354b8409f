//! `cargo xtask test`: everything that has to hold before a change is merged.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use minitwit_postgres::{Cluster, ClusterOptions};

use crate::{
    cargo::{Tool, cargo, find_program, workspace},
    lab, ops, setup,
    steps::{self, Outcome, Report},
};

/// What the stores' tests look for; see `test_database`.
pub(crate) const SERVER_VARIABLE: &str = "MINITWIT_TEST_POSTGRES_URL";

const CARGO_DENY: Tool = Tool {
    name: "cargo-deny",
    version: "0.20.2",
};

/// The same packages and features in every step, so that what one has built the next can use.
pub(crate) const EVERYTHING: [&str; 3] = ["--workspace", "--all-features", "--locked"];

/// Run everything that has to hold before a change is merged.
///
/// Format, lints, build, tests on both databases, documentation tests, a simulator run, faults, a
/// Swarm, a Prometheus that watches the suite, licences.
/// Every step runs, whatever became of the others; the summary names what failed and what cannot run
/// on this system. Debian packages that are missing are installed by root, or after asking through
/// sudo; otherwise the command to run is printed. No question is asked when `CI` is set.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Install nothing: work with what is there.
    #[arg(long)]
    no_install: bool,
}

/// Runs all the steps.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    if !options.no_install {
        setup::install_missing()?;
    }
    let mut report = Report::default();
    lint(&mut report);
    if report.step("build", || {
        steps::run(cargo(["build", "--all-targets"]).args(EVERYTHING))
    }) {
        report.step("tests", tests);
        report.step("doc tests", || {
            steps::run(cargo(["test", "--doc"]).args(EVERYTHING))
        });
        report.step("simulator run", lab::simulation);
        report.step("chaos", lab::chaos);
        report.step("swarm", lab::swarm);
        ops::watched(&mut report);
    } else {
        let titles = ["tests", "doc tests", "simulator run", "chaos", "swarm"];
        for title in titles.into_iter().chain([ops::LIVE]) {
            report.skip(title, "the build failed");
        }
    }
    report.step("cargo-deny", || dependencies(options));
    report.step("buf lint", protos);
    ops::check(&mut report);
    Ok(report.finish())
}

/// Runs the steps that compile nothing to run.
pub(crate) fn check() -> ExitCode {
    let mut report = Report::default();
    lint(&mut report);
    report.finish()
}

fn lint(report: &mut Report) {
    report.step("format", || {
        steps::run(&mut cargo(["fmt", "--all", "--check"]))
    });
    report.step("clippy", || {
        let mut clippy = cargo(["clippy", "--all-targets"]);
        steps::run(clippy.args(EVERYTHING).args(["--", "--deny", "warnings"]))
    });
}

/// All tests, in one run that shares one PostgreSQL server.
fn tests() -> anyhow::Result<Outcome> {
    // Its data is gone after the run, whatever happens to the power.
    let cluster = Cluster::start(ClusterOptions {
        durable: false,
        ..ClusterOptions::default()
    })?;
    let runner = match find_program("cargo-nextest") {
        Some(_) => ["nextest", "run"].as_slice(),
        // Slower to tell of one test among many, but it comes with cargo.
        None => ["test", "--all-targets", "--no-fail-fast"].as_slice(),
    };
    let mut command = cargo(runner.iter().copied());
    steps::run(
        command
            .args(EVERYTHING)
            .env(SERVER_VARIABLE, cluster.url("postgres"))
            // A page that looks different is a failure here, never a new file.
            .env("INSTA_UPDATE", "no"),
    )
}

/// Licences, sources and bans; advisories need a network, so they are for a scheduled job.
fn dependencies(options: &Options) -> anyhow::Result<Outcome> {
    let Some(program) = find_or_install(options) else {
        return Ok(Outcome::Skipped(
            "it cannot be installed here: `cargo install cargo-deny`".to_owned(),
        ));
    };
    let mut command = std::process::Command::new(program);
    command.current_dir(workspace());
    steps::run(command.args([
        "--locked",
        "check",
        "--hide-inclusion-graph",
        "bans",
        "licenses",
        "sources",
    ]))
}

fn find_or_install(options: &Options) -> Option<PathBuf> {
    if CARGO_DENY.find().is_none() && !options.no_install {
        let installed = CARGO_DENY
            .install()
            .context("cargo-deny cannot be installed");
        if let Err(error) = installed {
            println!("{error:#}");
        }
    }
    CARGO_DENY.find()
}

fn protos() -> anyhow::Result<Outcome> {
    let Some(buf) = find_program("buf") else {
        return Ok(Outcome::Skipped(
            "buf is not installed: `pip install buf-bin` brings it".to_owned(),
        ));
    };
    steps::run(
        std::process::Command::new(buf)
            .arg("lint")
            .current_dir(workspace().join("proto")),
    )
}
