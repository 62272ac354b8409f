//! The report of a run, which `table.rs` prints and `--json` serialises.

use std::collections::BTreeMap;

use serde::Serialize;

/// The result of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The mode of the run, which is "replay", "closed loop" or "open loop".
    pub mode: &'static str,
    /// The URL as given on the command line.
    pub url: String,
    /// The crowd's seed, with which the same crowd can be generated again.
    pub seed: Option<u64>,
    /// Start of the run in Unix seconds.
    pub started_at: i64,
    /// Duration of the requests without the verification.
    pub elapsed_seconds: f64,
    /// Requests per second with the expected response.
    pub ok_per_second: f64,
    /// Whether the run was stopped before its end.
    pub stopped: bool,
    /// All commands together.
    pub total: CommandReport,
    /// The commands that occurred.
    pub commands: Vec<CommandReport>,
    /// Number of errors by cause.
    pub causes: BTreeMap<String, u64>,
    /// Time windows with errors. Errors less than a second apart belong to one window.
    pub error_windows: Vec<Window>,
    /// The longest time without an expected response.
    pub longest_pause: Window,
    /// The result of the comparison with the server's lists, or `None` with `--no-verify`.
    pub verification: Option<Verification>,
    /// Whether there were more errors than `--allow-errors` and `--max-error-percent` allow.
    pub too_many_errors: bool,
}

impl Report {
    /// Whether there were no more errors than allowed and no violations.
    pub fn passed(&self) -> bool {
        !self.too_many_errors && self.violations() == 0
    }

    /// Number of violations that the verification found.
    pub fn violations(&self) -> usize {
        self.verification
            .as_ref()
            .map_or(0, |verification| verification.violations.len())
    }

    /// Whether the verification found a violation of this kind.
    pub fn has(&self, kind: ViolationKind) -> bool {
        self.count(kind) > 0
    }

    /// Number of violations of this kind that the verification found.
    pub fn count(&self, kind: ViolationKind) -> usize {
        let violations = self.verification.iter().flat_map(|found| &found.violations);
        violations
            .filter(|violation| violation.kind == kind)
            .count()
    }
}

/// The results of the requests of one command.
#[derive(Clone, Debug, Serialize)]
pub struct CommandReport {
    /// The name of the command, or "all".
    pub command: String,
    /// Number of requests that were sent or could not be sent for lack of a connection.
    pub sent: u64,
    /// Number of responses that the course counts as success.
    pub ok: u64,
    /// Number of responses that the course counts as errors, by status.
    pub wrong_status: BTreeMap<u16, u64>,
    /// Number of requests without a complete response in time.
    pub timeouts: u64,
    /// Number of requests without a connection or with a connection that broke.
    pub connection_errors: u64,
    /// Number of requests that were due but not sent, because too many requests were in flight.
    pub not_sent: u64,
    /// The latency of responses and time-outs.
    #[serde(rename = "latency_ms")]
    pub latency: Option<Latency>,
}

impl CommandReport {
    /// Number of errors of all kinds.
    pub fn errors(&self) -> u64 {
        self.wrong() + self.timeouts + self.connection_errors + self.not_sent
    }

    /// Number of responses with an unexpected status.
    pub fn wrong(&self) -> u64 {
        self.wrong_status.values().sum()
    }

    /// The share of errors among all requests that were due.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a percentage needs no more precision"
    )]
    pub fn error_percent(&self) -> f64 {
        100.0 * self.errors() as f64 / ((self.sent + self.not_sent).max(1) as f64)
    }
}

/// Percentiles of the latency in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latency {
    /// The median.
    #[serde(rename = "p50")]
    pub p50_ms: f64,
    /// The 90th percentile.
    #[serde(rename = "p90")]
    pub p90_ms: f64,
    /// The 99th percentile.
    #[serde(rename = "p99")]
    pub p99_ms: f64,
    /// The 99.9th percentile.
    #[serde(rename = "p99_9")]
    pub p99_9_ms: f64,
    /// The maximum.
    #[serde(rename = "max")]
    pub max_ms: f64,
}

/// A time window of the run, in seconds from its start.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Window {
    /// The beginning of the window.
    pub from_seconds: f64,
    /// The end of the window.
    pub to_seconds: f64,
    /// Number of errors in the window.
    pub errors: usize,
}

/// The result of the comparison of the server's lists with the requests.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verification {
    /// Number of users whose lists were compared.
    pub users: usize,
    /// Number of acknowledged messages that were looked for.
    pub messages: usize,
    /// Number of pairs of users whose follow state was compared.
    pub follows: usize,
    /// The server's value of `latest`.
    pub latest: Option<i64>,
    /// Duration of the reads and the comparison.
    pub elapsed_seconds: f64,
    /// Notes on lists that could not be compared completely.
    pub notes: Vec<String>,
    /// The differences between the lists and the requests.
    pub violations: Vec<Violation>,
}

/// A difference between the server's lists and the requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// The kind of the violation.
    pub kind: ViolationKind,
    /// The user, the action and the time.
    pub detail: String,
}

/// The kinds of violations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ViolationKind {
    /// An acknowledged message is not listed.
    Lost,
    /// A message is listed more often than it was sent.
    Doubled,
    /// A message is listed that was rejected or never sent.
    Unexpected,
    /// A message, user or follow from before the run is gone or changed.
    Altered,
    /// Messages are not listed newest first.
    Misplaced,
    /// A message has a time outside the run.
    Misdated,
    /// A follow or unfollow that was acknowledged is not in effect.
    FollowWrong,
    /// A user is listed twice among the followed users.
    FollowDoubled,
    /// A user who was registered does not exist.
    UserMissing,
    /// A registration was rejected and took effect, or was acknowledged for a taken name.
    RegisterWrong,
    /// `latest` is none of the possible values.
    LatestWrong,
    /// A list could not be read.
    Unreadable,
}

impl ViolationKind {
    /// The name in the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Doubled => "doubled",
            Self::Unexpected => "unexpected",
            Self::Altered => "altered",
            Self::Misplaced => "misplaced",
            Self::Misdated => "misdated",
            Self::FollowWrong => "follow wrong",
            Self::FollowDoubled => "follow doubled",
            Self::UserMissing => "user missing",
            Self::RegisterWrong => "register wrong",
            Self::LatestWrong => "latest wrong",
            Self::Unreadable => "unreadable",
        }
    }
}
