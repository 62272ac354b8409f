//! The commands of the lab, a program of its own for benches, fault tests and other measurements.
//!
//! The lab needs an asynchronous runtime and database drivers. Because the lab is a separate program,
//! `cargo xtask` itself is built without them.

use std::{
    env::{self, consts::EXE_SUFFIX},
    ffi::OsString,
    process::{Command, ExitCode},
};

use anyhow::{Context, ensure};
use xtask::program_folder;

use crate::{
    cargo::{cargo, find_program},
    steps::{self, Outcome},
};

/// Arguments of cargo that build the lab and run it.
const BUILD_AND_RUN: [&str; 6] = [
    "run",
    "--quiet",
    "--locked",
    "--package",
    "minitwit-lab",
    "--",
];

/// Arguments that are passed on to the lab unread.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    /// Options of the command, which `--help` lists
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "OPTIONS"
    )]
    arguments: Vec<OsString>,
}

/// Builds the lab and runs one of its commands in the present folder, which relative paths refer to.
pub(crate) fn run(command: &str, options: &Arguments) -> anyhow::Result<ExitCode> {
    let status = cargo(BUILD_AND_RUN)
        .current_dir(env::current_dir()?)
        .arg(command)
        .args(&options.arguments)
        .status()
        .context("cannot run cargo")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Runs the simulator against the whole suite, with the programs of this build.
pub(crate) fn simulation() -> anyhow::Result<Outcome> {
    step("simulation", &[])
}

/// Runs the short fault test, with the programs of this build.
pub(crate) fn chaos() -> anyhow::Result<Outcome> {
    if find_program("haproxy").is_none() {
        return Ok(Outcome::Skipped(
            "haproxy is not installed: `apt-get install haproxy`".to_owned(),
        ));
    }
    step("chaos", &["--short"])
}

/// Runs the short Swarm test, with the programs of this build.
pub(crate) fn swarm() -> anyhow::Result<Outcome> {
    let output = lab()?
        .args(["swarm", "--needs"])
        .output()
        .context("cannot run the lab")?;
    ensure!(output.status.success(), "`swarm --needs` failed");
    let missing = String::from_utf8(output.stdout).context("the lab does not write UTF-8")?;
    if !missing.trim().is_empty() {
        return Ok(Outcome::Skipped(missing.trim().to_owned()));
    }
    step("swarm", &["--smoke", "--rate=50", "--allowed=1"])
}

/// Lets a Prometheus scrape the suite, with the programs of this build or after building them.
pub(crate) fn prometheus(is_built: bool) -> anyhow::Result<Outcome> {
    if find_program("prometheus").is_none() {
        return Ok(Outcome::Skipped(
            "prometheus is not installed: `apt-get install prometheus`".to_owned(),
        ));
    }
    if is_built {
        return step("prometheus", &[]);
    }
    steps::run(cargo(BUILD_AND_RUN).arg("prometheus"))
}

fn step(command: &str, options: &[&str]) -> anyhow::Result<Outcome> {
    let programs = program_folder()?;
    let mut lab = lab()?;
    lab.arg(command).args(options);
    steps::run(lab.arg("--programs").arg(programs))
}

/// The lab's program, which `cargo build` puts next to this one.
fn lab() -> anyhow::Result<Command> {
    let program = program_folder()?.join(format!("minitwit-lab{EXE_SUFFIX}"));
    Ok(Command::new(program))
}
