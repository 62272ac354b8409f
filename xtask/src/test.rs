//! Command `cargo xtask test`, which runs all steps that must pass before a change is merged.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, ensure};
use minitwit_postgres::{Cluster, ClusterOptions};

use crate::{
    cargo::{Tool, cargo, find_program, workspace},
    lab, ops,
    setup::{self, Scope, pypi},
    steps::{self, Outcome, Report},
};

/// Environment variable with the PostgreSQL URL that the store tests use. See `test_database`.
pub(crate) const SERVER_VARIABLE: &str = "MINITWIT_TEST_POSTGRES_URL";

const CARGO_DENY: Tool = Tool {
    name: "cargo-deny",
    version: "0.20.2",
};

/// Packages and features of every step. They are the same, so that steps share built artifacts.
pub(crate) const EVERYTHING: [&str; 3] = ["--workspace", "--all-features", "--locked"];

/// Run all steps that must pass before a change is merged.
///
/// Format, lints, imports, build, tests on both databases, documentation tests, a simulator run,
/// faults, a Swarm, a Prometheus that scrapes the suite, licences, and checks of the deployment files.
/// All steps run even if one fails. The summary names the steps that failed and the steps that cannot
/// run on this machine. Missing Debian packages are installed if the user is root, or through sudo
/// after a question. Otherwise the command to run is printed. No question is asked when `CI` is set.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Install nothing. Steps without their programs are skipped or fail.
    #[arg(long)]
    no_install: bool,
}

/// Runs all steps.
pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let mut report = Report::default();
    if !options.no_install {
        setup::install_missing(Scope::AllSteps)?;
    }
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

/// Runs the steps that need the Rust toolchain only.
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
    report.step("imports", || {
        check_gateway()?;
        steps::rule(test_rules::imports::check(workspace()))
    });
}

/// Checks that the gateway does not depend on sqlx, because only services have databases.
fn check_gateway() -> anyhow::Result<()> {
    let mut tree = cargo(["tree", "--locked", "--package", "minitwit-gateway"]);
    tree.args(["--edges", "normal,build", "--prefix", "none"]);
    let output = tree.output().context("cannot run cargo tree")?;
    let packages = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "cargo tree failed: {}",
        errors.trim()
    );
    let sqlx = packages.lines().find(|package| package.starts_with("sqlx"));
    ensure!(
        sqlx.is_none(),
        "the gateway depends on sqlx: `cargo tree -p minitwit-gateway -i sqlx` shows the reason"
    );
    Ok(())
}

/// Runs all tests. They share one PostgreSQL server.
fn tests() -> anyhow::Result<Outcome> {
    // The data is deleted after the run, so it need not survive a loss of power.
    let cluster = Cluster::start(ClusterOptions {
        durable: false,
        ..ClusterOptions::default()
    })?;
    let runner = match find_program("cargo-nextest") {
        Some(_) => ["nextest", "run"].as_slice(),
        // Slower, but always installed because it is a part of cargo.
        None => ["test", "--all-targets", "--no-fail-fast"].as_slice(),
    };
    let mut command = cargo(runner.iter().copied());
    steps::run(
        command
            .args(EVERYTHING)
            .env(SERVER_VARIABLE, cluster.url("postgres"))
            // A page that differs from its snapshot is a failure and does not write a new snapshot.
            .env("INSTA_UPDATE", "no"),
    )
}

/// Checks licences, sources and bans. A scheduled job checks advisories because they need a network.
fn dependencies(options: &Options) -> anyhow::Result<Outcome> {
    let Some(program) = find_or_install(options) else {
        return Ok(Outcome::Skipped(
            "cargo-deny cannot be installed: run `cargo install cargo-deny`".to_owned(),
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

/// Checks the contracts.
fn protos() -> anyhow::Result<Outcome> {
    let Some(buf) = pypi::find("buf") else {
        return Ok(Outcome::Skipped(
            "buf is not installed: run `cargo xtask setup`".to_owned(),
        ));
    };
    steps::run(
        std::process::Command::new(buf)
            .args(["lint", "proto"])
            .current_dir(workspace()),
    )
}
