//! The load of all scenarios, which is `minitwit simulate` as a process of its own.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use crate::{
    fleet::ChildGuard,
    steal::{StolenTime, Watch},
    wait::{pause, wait_for, wait_until},
};

/// Longest time of a load that is stopped by [`Load::finish`], in case the lab ends before.
const TIME_MAX: Duration = Duration::from_mins(15);

/// Maximum time in which the simulator reads everything back.
const VERIFICATION_TIMEOUT: Duration = Duration::from_mins(2);

/// Time before and after an event in which only the load runs.
const MARGIN: Duration = Duration::from_secs(5);

/// Percentage of the requests that read.
const READS_PERCENT: &str = "30";

/// Number of simulated users of a capacity measurement.
pub(crate) const CAPACITY_USERS: u32 = 32;

/// Share of the capacity that a load uses, so that a fault rather than the load decides the result.
const CAPACITY_SHARE: f64 = 0.2;

/// Least number of requests a second, which still shows a fault.
const RATE_MIN: u32 = 20;

/// Maximum number of periods with failures that a message lists.
const WINDOWS_SHOWN_MAX: usize = 8;

/// Settings of a load.
#[derive(Clone, Debug)]
pub(crate) struct LoadOptions {
    /// URL of the simulator API.
    pub(crate) url: String,
    /// File with `name:password`. `None` for the usual credentials of the simulator.
    pub(crate) credentials: Option<PathBuf>,
    pub(crate) pace: Pace,
    /// Length of the load. `None` for a load that runs until [`Load::finish`].
    pub(crate) time: Option<Duration>,
    /// Seed of the simulated users' behaviour. `None` for a random seed.
    pub(crate) seed: Option<u64>,
    /// Percentage of the requests that may fail where no request should fail.
    pub(crate) allowed_percent: f64,
}

/// Start times of a load's requests.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// Requests a second, independent of the responses.
    PerSecond(u32),
    /// Number of users, each of which sends a request after the response to the last. Not verified.
    Users(u32),
}

impl LoadOptions {
    /// A load with `rate` requests per second that runs until [`Load::finish`].
    pub(crate) fn per_second(url: String, rate: u32) -> Self {
        Self {
            url,
            credentials: None,
            pace: Pace::PerSecond(rate),
            time: None,
            seed: None,
            allowed_percent: 0.0,
        }
    }
}

/// A running simulator.
#[derive(Debug)]
pub(crate) struct Load {
    process: ChildGuard,
    start: Instant,
    output: PathBuf,
    allowed_percent: f64,
    watch: Watch,
}

/// Result of a load.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct LoadReport {
    pub(crate) ok_per_second: f64,
    pub(crate) total: Total,
    /// Number of failures by their cause.
    pub(crate) causes: BTreeMap<String, u64>,
    pub(crate) error_windows: Vec<Window>,
    pub(crate) verification: Option<Verification>,
    /// Number of requests that may fail where no request should fail.
    #[serde(skip)]
    pub(crate) allowed: u64,
    #[serde(skip)]
    pub(crate) stolen: StolenTime,
}

/// Counts of all requests.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(crate) struct Total {
    sent: u64,
    ok: u64,
    /// Requests that were due but not sent, because too many had no response yet.
    not_sent: u64,
    #[serde(rename = "latency_ms")]
    pub(crate) latency: Option<Latency>,
}

/// Percentiles of the response time in milliseconds.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

/// A period in which requests failed, in seconds from the start of the load.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub(crate) struct Window {
    #[serde(rename = "from_seconds")]
    pub(crate) from: f64,
    #[serde(rename = "to_seconds")]
    pub(crate) to: f64,
    pub(crate) errors: u64,
}

/// Comparison of the suite's content with the acknowledged requests.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Verification {
    pub(crate) users: u64,
    pub(crate) messages: u64,
    pub(crate) follows: u64,
    pub(crate) violations: Vec<Violation>,
}

/// Content that was lost, doubled or undone.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Violation {
    pub(crate) kind: String,
    pub(crate) detail: String,
}

impl LoadReport {
    /// Number of requests that were due.
    pub(crate) fn sent(&self) -> u64 {
        self.total.sent + self.total.not_sent
    }

    /// Number of requests without a correct response.
    pub(crate) fn failed(&self) -> u64 {
        self.sent() - self.total.ok
    }

    /// Causes and times of the failures.
    pub(crate) fn failures(&self) -> String {
        let causes = self.causes.iter();
        let causes: Vec<String> = causes
            .map(|(cause, count)| format!("{count} × {cause}"))
            .collect();
        let windows = self.error_windows.iter().take(WINDOWS_SHOWN_MAX);
        let windows: Vec<String> = windows
            .map(|window| format!("{:.1}–{:.1} s", window.from, window.to))
            .collect();
        format!("{}; at {}", causes.join(", "), windows.join(", "))
    }

    /// The sum of two loads, with the worse latency.
    pub(crate) fn combine(mut self, other: Self) -> Self {
        let worse = |one: Latency, other: Latency| Latency {
            p50: one.p50.max(other.p50),
            p99: one.p99.max(other.p99),
            max: one.max.max(other.max),
        };
        let latencies = self.total.latency.zip(other.total.latency);
        let latency = latencies.map(|(one, other)| worse(one, other));
        self.total = Total {
            sent: self.total.sent + other.total.sent,
            ok: self.total.ok + other.total.ok,
            not_sent: self.total.not_sent + other.total.not_sent,
            latency: latency.or(self.total.latency).or(other.total.latency),
        };
        for (cause, count) in other.causes {
            *self.causes.entry(cause).or_default() += count;
        }
        self.error_windows.extend(other.error_windows);
        self.verification = match (self.verification, other.verification) {
            (Some(one), Some(other)) => Some(one.combine(other)),
            _ => None,
        };
        self.allowed += other.allowed;
        self.stolen = StolenTime::combine(self.stolen, other.stolen);
        self
    }
}

impl Verification {
    fn combine(self, other: Self) -> Self {
        Self {
            users: self.users + other.users,
            messages: self.messages + other.messages,
            follows: self.follows + other.follows,
            violations: [self.violations, other.violations].concat(),
        }
    }
}

impl Load {
    /// Starts a load. `minitwit` is the command that runs the simulator's program, and the folder is for
    /// its output.
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
        let time = options.time.unwrap_or(TIME_MAX).as_millis();
        minitwit.args(["simulate", &options.url, "--json", "--quiet"]);
        minitwit.args(["--allow-errors", "--reads", READS_PERCENT]);
        minitwit.arg(format!("--for={time}ms"));
        match options.pace {
            Pace::PerSecond(rate) => minitwit.arg(format!("--rate={rate}")),
            Pace::Users(count) => minitwit.args([&format!("--concurrency={count}"), "--no-verify"]),
        };
        minitwit.args(options.seed.map(|seed| format!("--seed={seed}")));
        let process = minitwit
            .stdin(Stdio::null())
            .stdout(File::create(&output)?)
            .stderr(File::create(folder.join("log"))?)
            .spawn()
            .context("cannot start the simulator")?;
        Ok(Self {
            process: ChildGuard(process),
            start: Instant::now(),
            output,
            allowed_percent: options.allowed_percent,
            watch: Watch::start(),
        })
    }

    /// The process of the simulator.
    pub(crate) fn process(&self) -> &Child {
        &self.process.0
    }

    /// Time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Blocks while only the load runs, before an event.
    pub(crate) fn run_margin(&self) {
        self.run_until(MARGIN);
    }

    /// Blocks until this time since the start.
    pub(crate) fn run_until(&self, since_start: Duration) {
        pause(since_start.saturating_sub(self.elapsed()));
    }

    /// Blocks while the load runs on for a margin, stops the load, and reads the report.
    pub(crate) fn finish(mut self) -> anyhow::Result<LoadReport> {
        pause(MARGIN);
        let stolen = self.watch.finish();
        let process = &mut self.process.0;
        kill_process(Pid::from_child(process), Signal::INT).context("cannot stop the simulator")?;
        wait_for(VERIFICATION_TIMEOUT, || Ok(process.try_wait()?))
            .context("the simulator does not end")?;
        read(&self.output, self.allowed_percent, stolen)
    }

    /// Waits for the end of a load that has a length, and reads the report.
    pub(crate) async fn wait(mut self) -> anyhow::Result<LoadReport> {
        let process = &mut self.process.0;
        let interval = Duration::from_millis(20);
        let has_ended = async || Ok(process.try_wait()?);
        wait_until(TIME_MAX + VERIFICATION_TIMEOUT, interval, has_ended)
            .await
            .context("the simulator does not end")?;
        read(&self.output, self.allowed_percent, self.watch.finish())
    }
}

/// Returns the rate of a load, which is a share of the capacity but at most the nominal rate.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a positive number of requests a second"
)]
pub(crate) fn bounded_rate(nominal: u32, capacity: f64) -> u32 {
    let share = (capacity * CAPACITY_SHARE) as u32;
    let rate = share.max(RATE_MIN).min(nominal);
    println!(
        "capacity {capacity:.0}/s: the load is {rate}/s, which is {:.0} % of the capacity",
        100.0 * f64::from(rate) / capacity.max(1.0)
    );
    rate
}

fn read(path: &Path, allowed_percent: f64, stolen: StolenTime) -> anyhow::Result<LoadReport> {
    let text = fs::read_to_string(path)?;
    let mut report: LoadReport = match serde_json::from_str(&text) {
        Ok(report) => report,
        Err(error) => {
            let log = fs::read_to_string(path.with_file_name("log")).unwrap_or_default();
            bail!(
                "the simulator has written no report: {error}\n{}",
                log.trim()
            )
        }
    };
    report.allowed = percentage(report.total.sent, allowed_percent);
    report.stolen = stolen;
    Ok(report)
}

/// Returns `percent` percent of `of`, rounded down.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a count of requests, and a percentage from 0 to 100"
)]
fn percentage(of: u64, percent: f64) -> u64 {
    (of as f64 * percent / 100.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> LoadReport {
        let report = serde_json::json!({
            "ok_per_second": 20.0,
            "total": {"sent": 90, "ok": 80, "not_sent": 10,
                      "latency_ms": {"p50": 1.0, "p99": 2.0, "max": 3.0}},
            "causes": {"no answer in time": 10},
            "error_windows": [{"from_seconds": 1.0, "to_seconds": 2.5, "errors": 20}],
            "verification": {"users": 1, "messages": 2, "follows": 3,
                             "violations": [{"kind": "lost", "detail": "a message"}]},
        });
        serde_json::from_value(report).unwrap()
    }

    #[test]
    fn a_request_that_was_not_sent_has_failed() {
        let report = report();
        assert_eq!((report.sent(), report.failed()), (100, 20));
        assert_eq!(report.failures(), "10 × no answer in time; at 1.0–2.5 s");
    }

    #[test]
    fn combined_reports_have_the_sums_and_all_violations() {
        let both = report().combine(report());
        assert_eq!((both.sent(), both.failed()), (200, 40));
        assert_eq!(both.causes["no answer in time"], 20);
        assert_eq!(both.verification.unwrap().violations.len(), 2);
    }

    #[test]
    fn the_rate_is_a_fifth_of_the_capacity_within_its_bounds() {
        assert_eq!(bounded_rate(200, 400.0), 80);
        assert_eq!(bounded_rate(200, 5_000.0), 200);
        assert_eq!(bounded_rate(200, 30.0), RATE_MIN);
    }
}
