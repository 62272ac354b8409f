//! One run of wrk against one API.

use std::{fmt, net::SocketAddr, path::PathBuf, process::Command, time::Duration};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use xtask::{find_program, workspace};

use crate::command::output;

/// A kind of work that `bench/load.lua` knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Kind {
    /// GET /msgs, the newest messages of all users
    Msgs,
    /// GET /msgs/<user>, the newest messages of a random user
    Umsgs,
    /// POST /msgs/<user>
    Post,
    /// GET /fllws/<user>, the followees of a random user
    Fllws,
    /// POST /fllws/<user>, follow and unfollow
    Fpost,
    /// 20 % msgs, 20 % umsgs, 30 % post, 10 % fllws, 20 % fpost
    Mix,
}

impl Kind {
    /// Name in `bench/load.lua`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Msgs => "msgs",
            Self::Umsgs => "umsgs",
            Self::Post => "post",
            Self::Fllws => "fllws",
            Self::Fpost => "fpost",
            Self::Mix => "mix",
        }
    }

    /// Name in the table.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Msgs => "GET /msgs",
            Self::Umsgs => "GET /msgs/<user>",
            Self::Post => "POST /msgs/<user>",
            Self::Fllws => "GET /fllws/<user>",
            Self::Fpost => "POST /fllws/<user>",
            Self::Mix => "the mix",
        }
    }
}

/// Requests with which a side is driven.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) kind: Kind,
    pub(super) connections: u32,
    pub(super) with_latest: bool,
    pub(super) users: u64,
}

impl fmt::Display for Load {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, connections) = (self.kind.name(), self.connections);
        let latest = if self.with_latest { "with" } else { "without" };
        write!(
            formatter,
            "{kind:<5} {connections:>3} connections, {latest} latest"
        )
    }
}

/// Result of a run of wrk.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Measurement {
    pub(super) requests_per_second: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    /// Responses without success.
    pub(super) refusals: u64,
    /// Failed connections and missing responses.
    pub(super) failures: u64,
}

impl Measurement {
    pub(super) fn errors(&self) -> u64 {
        self.refusals + self.failures
    }
}

/// The line that `bench/load.lua` prints at the end.
#[derive(Debug, Deserialize)]
struct ResultLine {
    requests: f64,
    duration_us: f64,
    p50_us: f64,
    p99_us: f64,
}

/// Drives an API for a time.
pub(super) fn drive(api: SocketAddr, load: &Load, time: Duration) -> anyhow::Result<Measurement> {
    let mut command = Command::new(program()?);
    command
        .arg(format!("-t{}", load.connections.min(2)))
        .arg(format!("-c{}", load.connections))
        .arg(format!("-d{}s", time.as_secs()))
        .args(["--latency", "-s"])
        .arg(workspace().join("bench/load.lua"))
        .args([&format!("http://{api}"), "--", load.kind.name()])
        .arg(if load.with_latest { "1" } else { "0" })
        .arg(load.users.to_string());
    let output = output(&mut command)?;
    parse(&output).with_context(|| format!("cannot read the output of wrk:\n{output}"))
}

/// Returns the file of wrk.
pub(super) fn program() -> anyhow::Result<PathBuf> {
    find_program("wrk").context("wrk is not installed: `apt-get install wrk`")
}

fn parse(output: &str) -> anyhow::Result<Measurement> {
    let line = output.lines().find_map(|line| line.strip_prefix("result "));
    let result: ResultLine = serde_json::from_str(line.context("no result")?)?;
    Ok(Measurement {
        requests_per_second: result.requests / result.duration_us * 1e6,
        p50_ms: result.p50_us / 1e3,
        p99_ms: result.p99_us / 1e3,
        refusals: sum(output, "Non-2xx or 3xx responses:"),
        failures: sum(output, "Socket errors:"),
    })
}

/// Adds the numbers of a line that wrk prints only if there were errors.
fn sum(output: &str, label: &str) -> u64 {
    let mut lines = output.lines();
    let line = lines.find_map(|line| line.trim().strip_prefix(label));
    line.unwrap_or_default()
        .split(|character: char| !character.is_ascii_digit())
        .filter_map(|number| number.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "
  Socket errors: connect 0, read 3, write 0, timeout 4
  Non-2xx or 3xx responses: 12
Requests/sec:  50000.00
result {\"requests\":100000,\"duration_us\":2000000,\"p50_us\":1500,\"p99_us\":4000,\"errors\":19}
";

    #[test]
    fn refusals_and_failures_are_counted_separately() {
        let measurement = parse(OUTPUT).unwrap();

        assert!((measurement.requests_per_second - 50_000.0).abs() < 0.1);
        assert!((measurement.p50_ms - 1.5).abs() < 1e-9);
        assert_eq!((measurement.refusals, measurement.failures), (12, 7));
    }

    #[test]
    fn an_error_that_wrk_does_not_mention_did_not_occur() {
        assert_eq!(sum("Requests/sec: 5", "Socket errors:"), 0);
    }
}
