//! The course's simulator, with load generation and verification.
//!
//! The simulator sends the same requests as the course's script and counts errors in the same way.
//! Afterwards it reads all lists back through the API and reports each acknowledged write that is
//! missing, doubled or undone. It uses only the HTTP API of the server, so it works against any
//! implementation.
//!
//! The stages of a run:
//!
//! 1. `args` parses the options.
//! 2. `scenario` reads the actions from a file, or `crowd` and `steps` generate them.
//! 3. `snapshot` reads the server's lists before the run.
//! 4. `run` sends the actions through `client`. The recorder stores them and `stats` counts them.
//! 5. `snapshot` reads the server's lists after the run.
//! 6. `verify` compares the two snapshots with the actions.
//! 7. `report` holds the result, and `table` prints it.
//!
//! The run itself never retries and never reads more than its actions demand. Only the snapshots
//! retry.

mod action;
mod args;
mod attempt;
mod client;
mod crowd;
mod phrases;
mod progress;
mod report;
mod run;
pub mod scenario;
mod session;
mod snapshot;
mod stats;
mod steps;
mod table;
mod verify;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

pub use action::{Action, Command, Kind};
pub use args::{Connection, Credentials, SimulateArgs};
pub use report::{CommandReport, Latency, Report, Verification, Violation, ViolationKind, Window};
pub use session::simulate;

/// The result of a run, which determines the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No error beyond the allowed ones and no violation. The exit code is 0.
    Passed,
    /// Too many requests failed, or a write was lost, doubled or undone. The exit code is 1.
    Failed,
    /// There was no run, and the cause is on the standard error output. The exit code is 2.
    NotRun,
}

impl Outcome {
    /// The exit code of the process.
    pub const fn code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Failed => 1,
            Self::NotRun => 2,
        }
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(outcome.code())
    }
}

/// Runs the simulation of the command line and prints its report.
///
/// The first Ctrl-C stops the requests, and the requests sent so far are verified. The second
/// Ctrl-C also stops the verification.
///
/// # Errors
///
/// Fails only if the report cannot be printed. A run that is not possible is [`Outcome::NotRun`].
///
/// The future is boxed, so that its code is compiled in this crate and not again in the program.
pub fn run(args: SimulateArgs) -> BoxFuture<'static, anyhow::Result<Outcome>> {
    Box::pin(run_simulator(args))
}

async fn run_simulator(args: SimulateArgs) -> anyhow::Result<Outcome> {
    if let Some(path) = &args.write_scenario {
        let written = write_scenario(&args, path);
        return finish(written.map(|()| Outcome::Passed));
    }
    let stop = CancellationToken::new();
    let report = tokio::select! {
        report = simulate(&args, stop.clone()) => report,
        () = interrupted_twice(stop) => Err(anyhow::anyhow!("interrupted before the end")),
    };
    let report = match report {
        Ok(report) => report,
        Err(error) => return finish(Err(error)),
    };
    let mut out = std::io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        table::write(&report, &mut out)?;
    }
    out.flush()?;
    Ok(if report.passed() {
        Outcome::Passed
    } else {
        Outcome::Failed
    })
}

fn finish(result: anyhow::Result<Outcome>) -> anyhow::Result<Outcome> {
    match result {
        Ok(outcome) => Ok(outcome),
        Err(error) => {
            writeln!(std::io::stderr(), "error: {error:#}")?;
            Ok(Outcome::NotRun)
        }
    }
}

/// Stops the requests at the first signal, and resolves at the second.
async fn interrupted_twice(stop: CancellationToken) {
    for _ in 0..2 {
        if tokio::signal::ctrl_c().await.is_err() {
            // Signals cannot be received, so this future must never end the run.
            std::future::pending::<()>().await;
        }
        if stop.is_cancelled() {
            return;
        }
        stop.cancel();
    }
}

fn write_scenario(args: &SimulateArgs, path: &Path) -> anyhow::Result<()> {
    let actions = session::crowd_actions(args);
    let mut file = BufWriter::new(
        File::create(path).with_context(|| format!("cannot write {}", path.display()))?,
    );
    scenario::write(actions, &mut file)?;
    file.flush()
        .with_context(|| format!("cannot write {}", path.display()))
}
