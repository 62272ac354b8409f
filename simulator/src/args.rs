//! The command line of `minitwit simulate`.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Args, FromArgMatches, ValueEnum};

/// Plays the course's simulator against a server, then checks that no write was lost or doubled.
///
/// Without --scenario, a crowd of users is generated that acts concurrently with the proportions of
/// the course's scenario. Users register throughout the run, tweet (44 %), follow (38 %) and
/// unfollow (18 %). Afterwards the server's lists are compared with the requests. Every acknowledged
/// write must be listed exactly once, every write without a response at most once, and `latest` must
/// have the value of the last request.
///
/// A request is never retried. A sender that gets no connection pauses for 50 ms, so that a short
/// outage does not use up all actions. It does not pause in an open loop or with --pace.
///
/// The exit code is 0 if the run passed, 1 if a request failed or the verification found a
/// violation, and 2 if the run was not possible.
#[derive(Args, Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "options are independent of each other"
)]
#[command(after_long_help = EXAMPLES)]
pub struct SimulateArgs {
    /// The simulator API, such as `http://127.0.0.1:5001`
    #[arg(value_name = "URL", required_unless_present = "write_scenario")]
    pub url: Option<String>,

    /// Replay a file in the course's format, one request at a time
    #[arg(long, value_name = "FILE", help_heading = "Replay")]
    pub scenario: Option<PathBuf>,

    /// The factor for the file's delays. 1 is the course's own pace, 0 is without pauses
    #[arg(long, default_value_t = 0.0, value_parser = parse_pace, requires = "scenario",
          help_heading = "Replay")]
    pub pace: f64,

    /// Number of actions of the crowd [default: 2000]
    #[arg(long, value_name = "N", conflicts_with_all = ["scenario", "duration"],
          value_parser = clap::value_parser!(u64).range(1..=100_000_000), help_heading = "Crowd")]
    pub actions: Option<u64>,

    /// The crowd's seed. The same seed generates the same names and texts [default: a random seed]
    #[arg(long, conflicts_with = "scenario", help_heading = "Crowd")]
    pub seed: Option<u64>,

    /// Number of users that register [default: 8 for each 1,000 actions, but at least 20]
    #[arg(long, value_name = "N", conflicts_with = "scenario",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = "Crowd")]
    pub users: Option<u32>,

    /// The percentage of reads of all messages, a user's messages, a user's follows and latest
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = parse_percent,
          conflicts_with_all = ["scenario", "write_scenario"], help_heading = "Crowd")]
    pub reads: f64,

    /// Closed loop with this number of concurrent users, who each wait for the response
    #[arg(long, value_name = "C", default_value_t = 8,
          conflicts_with_all = ["scenario", "rate"],
          value_parser = clap::value_parser!(u16).range(1..), help_heading = "Crowd")]
    pub concurrency: u16,

    /// Open loop with this number of requests per second, whether or not earlier requests have been
    /// answered. Latency is measured from the scheduled time
    #[arg(long, value_name = "PER_SECOND", value_parser = parse_rate, conflicts_with = "scenario",
          help_heading = "Crowd")]
    pub rate: Option<f64>,

    /// Run for this time (500ms, 60s, 2m) instead of a number of actions
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration,
          conflicts_with = "scenario", help_heading = "Crowd")]
    pub duration: Option<Duration>,

    /// Write the crowd's actions to a file in the course's format without sending them
    #[arg(long, value_name = "FILE", conflicts_with_all = ["scenario", "rate", "duration"],
          help_heading = "Crowd")]
    pub write_scenario: Option<PathBuf>,

    /// The credentials of the requests, as NAME:PASSWORD
    #[arg(
        long,
        env = "SIMULATOR_CREDENTIALS",
        default_value = "simulator:super_safe!",
        hide_env_values = true,
        value_name = "NAME:PASSWORD",
        help_heading = "Requests"
    )]
    pub credentials: Credentials,

    /// A file with NAME:PASSWORD, which takes precedence over --credentials
    #[arg(
        long,
        env = "SIMULATOR_CREDENTIALS_FILE",
        value_name = "FILE",
        help_heading = "Requests"
    )]
    pub credentials_file: Option<PathBuf>,

    /// Maximum time from the request to the complete response, after which it counts as a time-out
    #[arg(long, value_name = "DURATION", default_value = "300ms", value_parser = parse_duration,
          help_heading = "Requests")]
    pub timeout: Duration,

    /// The time-out of registrations, for which the server hashes passwords [default: --timeout]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, help_heading = "Requests")]
    pub register_timeout: Option<Duration>,

    /// A new connection for each request, as the course's script makes them, or persistent connections
    #[arg(long, value_enum, default_value_t = Connection::Close, conflicts_with = "scenario",
          help_heading = "Requests")]
    pub connection: Connection,

    /// Skip the comparison of the server's lists with the requests
    #[arg(long, help_heading = "Result")]
    pub no_verify: bool,

    /// Do not fail because of failed requests, but still because of violations. This is for runs in
    /// which servers are restarted
    #[arg(long, conflicts_with = "max_error_percent", help_heading = "Result")]
    pub allow_errors: bool,

    /// The percentage of requests that may fail
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = parse_percent,
          help_heading = "Result")]
    pub max_error_percent: f64,

    /// Print one JSON document instead of the table
    #[arg(long, help_heading = "Output")]
    pub json: bool,

    /// Do not show a progress bar
    #[arg(long, short, help_heading = "Output")]
    pub quiet: bool,
}

const EXAMPLES: &str = "\
Examples:
  A new crowd of 2,000 actions:
    simulate http://127.0.0.1:5001
  The course's scenario, as fast as the server answers, and at the course's own pace:
    simulate http://127.0.0.1:5001 --scenario FILE
    simulate http://127.0.0.1:5001 --scenario FILE --pace 1
  More actions, from 32 concurrent users:
    simulate http://127.0.0.1:5001 --actions 20000 --concurrency 32
  500 requests a second for a minute, half of them reads:
    simulate http://127.0.0.1:5001 --rate 500 --for 60s --reads 50
  While servers are restarted, to see whether a write is lost:
    simulate http://127.0.0.1:5001 --rate 200 --for 2m --allow-errors
  A scenario file for a later replay:
    simulate --write-scenario FILE --actions 5000 --seed 7";

/// Whether connections are reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Connection {
    /// A new connection for each request.
    Close,
    /// Persistent connections, which are reused.
    KeepAlive,
}

/// `name:password`, whose `Debug` output hides the value.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials(String);

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Credentials(…)")
    }
}

impl FromStr for Credentials {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains(':') {
            Ok(Self(text.to_owned()))
        } else {
            Err("expected NAME:PASSWORD".to_owned())
        }
    }
}

impl Credentials {
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl SimulateArgs {
    /// Parses options as on the command line, without the command's name.
    pub fn parse_options<I>(options: I) -> Result<Self, clap::Error>
    where
        I: IntoIterator,
        I::Item: Into<OsString> + Clone,
    {
        let command = Self::augment_args(clap::Command::new("simulate").no_binary_name(true));
        Self::from_arg_matches(&command.try_get_matches_from(options)?)
    }

    pub(crate) fn read_credentials(&self) -> anyhow::Result<Credentials> {
        let Some(path) = &self.credentials_file else {
            return Ok(self.credentials.clone());
        };
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read credentials from {}", path.display()))?;
        let text = text.trim_end_matches(['\r', '\n']);
        ensure!(
            text.contains(':'),
            "{}: expected NAME:PASSWORD",
            path.display()
        );
        Ok(Credentials(text.to_owned()))
    }
}

fn parse_number(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    if number.is_finite() && number >= 0.0 {
        Ok(number)
    } else {
        Err("must be 0 or more".into())
    }
}

fn parse_pace(text: &str) -> Result<f64, String> {
    parse_number(text)
}

fn parse_percent(text: &str) -> Result<f64, String> {
    let percent = parse_number(text.trim_end_matches('%'))?;
    if percent <= 100.0 {
        Ok(percent)
    } else {
        Err("must be at most 100".into())
    }
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate = parse_number(text)?;
    if (0.01..=1e6).contains(&rate) {
        Ok(rate)
    } else {
        Err("must be 0.01 to 1000000".into())
    }
}

/// Parses a duration such as "500ms", "60s", "2m" or "1h". A number without a unit is in seconds.
fn parse_duration(text: &str) -> Result<Duration, String> {
    const SECONDS_MAX: f64 = 7.0 * 24.0 * 3600.0;
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let seconds_per_unit = match &text[digits.len()..] {
        "ms" => 0.001,
        "s" | "" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        unit => return Err(format!("{unit:?} is no unit of time: use ms, s, m or h")),
    };
    let seconds = parse_number(digits)? * seconds_per_unit;
    if seconds > 0.0 && seconds <= SECONDS_MAX {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("must be more than 0 and at most a week".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        let millis = |text| parse_duration(text).map(|duration| duration.as_millis());
        assert_eq!(millis("500ms"), Ok(500));
        assert_eq!(millis("60s"), Ok(60_000));
        assert_eq!(millis("2m"), Ok(120_000));
        assert_eq!(millis("0.3"), Ok(300));
        for bad in ["", "s", "0s", "-1s", "1d", "1e99s", "NaNs", "9999h"] {
            assert!(millis(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn contradictory_options_are_rejected() {
        let parse = |text: &str| SimulateArgs::parse_options(text.split(' '));
        assert!(parse("http://h").is_ok());
        assert!(parse("http://h --rate 5 --for 60s").is_ok());
        assert!(parse("http://h --scenario f --pace 1").is_ok());
        assert!(parse("--write-scenario f --actions 5").is_ok());
        for bad in [
            "--actions 5",
            "http://h --scenario f --actions 5",
            "http://h --scenario f --connection keep-alive",
            "http://h --pace 1",
            "http://h --actions 5 --for 60s",
            "http://h --rate 5 --concurrency 5",
            "http://h --reads 101",
            "http://h --credentials x",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn credentials_are_not_printed() {
        let args = SimulateArgs::parse_options(["http://h", "--credentials", "a:secret"]).unwrap();
        assert!(!format!("{args:?}").contains("secret"));
    }
}
