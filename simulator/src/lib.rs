//! The course's simulator as a first-class tool.
//!
//! It sends what the course's script sends, counts errors as that does, and then does what that
//! does not: it reads everything back through the API and says whether an acknowledged write is
//! missing, doubled or undone. It knows the server only by its HTTP API, so it works against any
//! implementation.
//!
//! The way of a run: `args` → `scenario`, or `crowd` and its `steps` (what to do) → `snapshot`
//! (what is there) → `run` (doing it, through `client`, written down by its recorder and counted by
//! `tally`) → `snapshot` again → `verify` → `report`. The invariant: the run itself never retries,
//! and never reads more than its actions ask for; patience is for the snapshots only.

mod action;
mod args;
mod attempt;
mod client;
mod crowd;
mod progress;
mod report;
mod run;
pub mod scenario;
mod session;
mod snapshot;
mod steps;
mod table;
mod tally;
mod verify;
mod words;

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

/// How a run ended; its exit code is for scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything held: 0.
    Passed,
    /// Requests failed, or something was lost, doubled or undone: 1.
    Failed,
    /// There was no run, because of what was said on the standard error: 2.
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

/// Does what the command line says, and prints what came of it.
///
/// Ctrl-C ends the requests, and what was sent until then is verified; a second Ctrl-C ends that,
/// too.
///
/// # Errors
///
/// Fails only if the result cannot be printed; a run that is not possible is an [`Outcome`].
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
            // There are no signals to wait for, so this never ends the run.
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
