//! One run of wrk against one API.

use std::{net::SocketAddr, process::Command, time::Duration};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::cargo::{find_program, workspace};

/// A kind of work that `bench/load.lua` knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// GET /msgs: the newest messages of all
    Msgs,
    /// GET /msgs/<user>: those of a random user
    Umsgs,
    /// POST /msgs/<user>
    Post,
    /// GET /fllws/<user>: whom a random user follows
    Fllws,
    /// POST /fllws/<user>: follow and unfollow
    Fpost,
    /// 20 % msgs, 20 % umsgs, 30 % post, 10 % fllws, 20 % fpost
    Mix,
}

impl Kind {
    /// What `bench/load.lua` calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Msgs => "msgs",
            Self::Umsgs => "umsgs",
            Self::Post => "post",
            Self::Fllws => "fllws",
            Self::Fpost => "fpost",
            Self::Mix => "mix",
        }
    }

    /// What readers of the table call it.
    pub(crate) fn title(self) -> &'static str {
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

/// What one side is to be driven with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) kind: Kind,
    pub(crate) connections: u32,
    pub(crate) with_latest: bool,
    pub(crate) users: u64,
}

/// What became of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measurement {
    pub(crate) requests_per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Answers that are no success.
    pub(crate) refusals: u64,
    /// Connections that failed and answers that did not come in time.
    pub(crate) failures: u64,
}

impl Measurement {
    pub(crate) fn errors(&self) -> u64 {
        self.refusals + self.failures
    }
}

/// Drives an API for a while.
pub(crate) fn drive(api: SocketAddr, load: &Load, time: Duration) -> anyhow::Result<Measurement> {
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
    let output = command.output().context("cannot run wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!(
            "wrk failed: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    read(&text).with_context(|| format!("cannot read what wrk wrote:\n{text}"))
}

/// Where wrk is.
pub(crate) fn program() -> anyhow::Result<std::path::PathBuf> {
    find_program("wrk").context("wrk is not installed: `apt-get install wrk` brings it")
}

fn read(text: &str) -> anyhow::Result<Measurement> {
    let line = text.lines().find_map(|line| line.strip_prefix("result "));
    let result: Value = serde_json::from_str(line.context("no result")?)?;
    let number = |name: &str| {
        let value = result.get(name).and_then(Value::as_f64);
        value.with_context(|| format!("no {name} in the result"))
    };
    Ok(Measurement {
        requests_per_second: number("requests")? / number("duration_us")? * 1e6,
        p50_ms: number("p50_us")? / 1e3,
        p99_ms: number("p99_us")? / 1e3,
        refusals: sum(text, "Non-2xx or 3xx responses:"),
        failures: sum(text, "Socket errors:"),
    })
}

/// The numbers of a line that wrk writes only when there is something to tell.
fn sum(text: &str, label: &str) -> u64 {
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix(label));
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
    fn refusals_and_failures_are_told_apart() {
        let measurement = read(OUTPUT).unwrap();

        assert!((measurement.requests_per_second - 50_000.0).abs() < 0.1);
        assert!((measurement.p50_ms - 1.5).abs() < 1e-9);
        assert_eq!((measurement.refusals, measurement.failures), (12, 7));
    }

    #[test]
    fn what_wrk_does_not_mention_did_not_happen() {
        assert_eq!(sum("Requests/sec: 5", "Socket errors:"), 0);
    }
}
