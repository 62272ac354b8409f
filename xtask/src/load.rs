//! `minitwit simulate` in the background, while something happens to the suite.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::{
    process::Running,
    steal::{Stolen, Watch},
    wait::{pause, wait_for},
};

/// Longer than any scenario: what bounds a run whose master has gone.
const LONGEST: &str = "15m";

/// How long the simulator may take to read everything back.
const VERIFICATION_PATIENCE: Duration = Duration::from_mins(2);

/// How much goes by before anything happens, and after it.
const MARGIN: Duration = Duration::from_secs(5);

/// So many times of trouble are told of.
const WINDOWS_MAX: usize = 8;

/// How the load is made.
#[derive(Clone, Debug)]
pub(crate) struct LoadOptions {
    /// Where the API is.
    pub(crate) url: String,
    /// `name:password`, in a file; `None` for the simulator's usual ones.
    pub(crate) credentials: Option<PathBuf>,
    /// Requests a second, answered or not.
    pub(crate) rate: u32,
    /// How many percent of the requests may fail where none should.
    pub(crate) allowed_percent: f64,
}

/// A simulator that runs.
#[derive(Debug)]
pub(crate) struct Load {
    process: Running,
    since: Instant,
    output: PathBuf,
    allowed_percent: f64,
    host: Watch,
}

/// What the simulator found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    pub(crate) sent: u64,
    pub(crate) failed: u64,
    /// How many may have failed where none should have.
    pub(crate) allowed: u64,
    /// Median, 99th percentile and maximum, in milliseconds.
    pub(crate) latency_ms: [f64; 3],
    /// What was lost, doubled or undone.
    pub(crate) violations: Vec<String>,
    /// How often each kind of failure occurred.
    pub(crate) causes: Vec<String>,
    /// When requests failed, counted from the start.
    pub(crate) windows: Vec<Window>,
    /// What the host took meanwhile.
    pub(crate) stolen: Stolen,
}

/// A stretch in which requests failed, in seconds from the start of the load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Window {
    pub(crate) from: f64,
    pub(crate) to: f64,
    pub(crate) errors: u64,
}

impl Measured {
    /// What failed, and when, in seconds from the start of the load.
    pub(crate) fn story(&self) -> String {
        let span = |window: &Window| format!("{:.1}–{:.1} s", window.from, window.to);
        let windows: Vec<String> = self.windows.iter().take(WINDOWS_MAX).map(span).collect();
        format!("{}; at {}", self.causes.join(", "), windows.join(", "))
    }

    /// Both together, of which the worse latency counts.
    pub(crate) fn sum(one: Self, two: Self) -> Self {
        let worse = |index: usize| one.latency_ms[index].max(two.latency_ms[index]);
        Self {
            sent: one.sent + two.sent,
            failed: one.failed + two.failed,
            allowed: one.allowed + two.allowed,
            latency_ms: [worse(0), worse(1), worse(2)],
            violations: [one.violations, two.violations].concat(),
            causes: [one.causes, two.causes].concat(),
            windows: [one.windows, two.windows].concat(),
            stolen: Stolen::sum(one.stolen, two.stolen),
        }
    }
}

impl Load {
    /// Starts it by the command that runs `minitwit`; what it writes goes into a folder.
    pub(crate) fn start(
        mut minitwit: Command,
        folder: &Path,
        options: &LoadOptions,
    ) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        let output = folder.join("report.json");
        if let Some(credentials) = &options.credentials {
            minitwit.env("SIMULATOR_CREDENTIALS_FILE", credentials);
        }
        let process = minitwit
            .args([
                "simulate",
                &options.url,
                "--json",
                "--quiet",
                "--allow-errors",
            ])
            .args([
                "--rate",
                &options.rate.to_string(),
                "--for",
                LONGEST,
                "--reads",
                "30",
            ])
            .stdin(Stdio::null())
            .stdout(File::create(&output)?)
            .stderr(File::create(folder.join("log"))?)
            .spawn()
            .context("cannot start the simulator")?;
        Ok(Self {
            process: Running(process),
            since: Instant::now(),
            output,
            allowed_percent: options.allowed_percent,
            host: Watch::start(),
        })
    }

    /// The process, for whoever sees to it that none outlives its task.
    pub(crate) fn process(&self) -> &Child {
        &self.process.0
    }

    /// Lets it run alone for a moment.
    pub(crate) fn run_alone(&self) {
        self.run_until(MARGIN);
    }

    /// How long it has been running.
    pub(crate) fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }

    /// Lets it run until that much has gone by since it began.
    pub(crate) fn run_until(&self, since_start: Duration) {
        pause(since_start.saturating_sub(self.since.elapsed()));
    }

    /// Lets it run on for a moment, stops it, and waits for what it has found.
    pub(crate) fn finish(mut self) -> anyhow::Result<Measured> {
        pause(MARGIN);
        let stolen = self.host.finish();
        let pid = self.process.0.id().to_string();
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .context("cannot run kill")?;
        let process = &mut self.process.0;
        wait_for(VERIFICATION_PATIENCE, || Ok(process.try_wait()?))
            .context("the simulator does not come to an end")?;
        let mut measured = read(&self.output)?;
        measured.stolen = stolen;
        measured.allowed = share(measured.sent, self.allowed_percent);
        Ok(measured)
    }
}

/// So many percent of a number, without what is less than a whole one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a count of requests, and a percentage from 0 to 100"
)]
fn share(of: u64, percent: f64) -> u64 {
    (of as f64 * percent / 100.0) as u64
}

fn read(path: &Path) -> anyhow::Result<Measured> {
    let text = fs::read_to_string(path)?;
    let log = fs::read_to_string(path.with_file_name("log")).unwrap_or_default();
    let report: Value = match serde_json::from_str(&text) {
        Ok(report) => report,
        Err(_) => bail!("the simulator made no report: {}", log.trim()),
    };
    measured(&report).context("the simulator's report is not as expected")
}

fn measured(report: &Value) -> Option<Measured> {
    let total = &report["total"];
    let sent = total["sent"].as_u64()? + total["not_sent"].as_u64()?;
    let latency = |name: &str| total["latency_ms"][name].as_f64();
    let windows = report["error_windows"].as_array()?.iter().map(|window| {
        Some(Window {
            from: window["from_seconds"].as_f64()?,
            to: window["to_seconds"].as_f64()?,
            errors: window["errors"].as_u64()?,
        })
    });
    let causes = report["causes"].as_object()?.iter();
    let violations = report["verification"]["violations"].as_array()?.iter();
    Some(Measured {
        sent,
        failed: sent - total["ok"].as_u64()?,
        allowed: 0,
        latency_ms: [latency("p50")?, latency("p99")?, latency("max")?],
        violations: violations
            .map(|found| format!("{}: {}", text(&found["kind"]), text(&found["detail"])))
            .collect(),
        causes: causes
            .map(|(cause, count)| format!("{count} × {cause}"))
            .collect(),
        windows: windows.collect::<Option<_>>()?,
        stolen: Stolen::default(),
    })
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_sent_has_failed() {
        let report = serde_json::json!({
            "total": {"sent": 90, "ok": 80, "not_sent": 10,
                      "latency_ms": {"p50": 1.0, "p99": 2.0, "max": 3.0}},
            "causes": {"no answer in time": 10},
            "error_windows": [{"from_seconds": 1.0, "to_seconds": 2.5, "errors": 20}],
            "verification": {"violations": [{"kind": "lost", "detail": "a message"}]},
        });
        let measured = measured(&report).unwrap();
        assert_eq!((measured.sent, measured.failed), (100, 20));
        assert_eq!(measured.violations, ["lost: a message"]);
        assert_eq!(measured.causes, ["10 × no answer in time"]);
        assert_eq!(
            measured.windows,
            [Window {
                from: 1.0,
                to: 2.5,
                errors: 20
            }]
        );
    }
}
