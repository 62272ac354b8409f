//! What a run amounts to, for people (`table.rs`) and for machines (`--json`).

use std::collections::BTreeMap;

use serde::Serialize;

/// The result of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// How the requests were made: "replay", "closed loop" or "open loop".
    pub mode: &'static str,
    /// The URL, as given.
    pub url: String,
    /// The crowd's seed: with the same one, the same crowd comes again.
    pub seed: Option<u64>,
    /// When the run began, in unix seconds.
    pub started_at: i64,
    /// How long the requests took, without the verification.
    pub elapsed_seconds: f64,
    /// Requests per second that were answered rightly.
    pub ok_per_second: f64,
    /// Whether the run was stopped before its end.
    pub stopped: bool,
    /// All commands together.
    pub total: CommandReport,
    /// Each command that occurred.
    pub commands: Vec<CommandReport>,
    /// How often each kind of error occurred.
    pub causes: BTreeMap<String, u64>,
    /// When errors occurred; errors less than a second apart make one window.
    pub error_windows: Vec<Window>,
    /// The longest time without a right answer.
    pub longest_pause: Window,
    /// What the comparison with the server's lists found; `None` with `--no-verify`.
    pub verification: Option<Verification>,
    /// Whether there were more errors than `--allow-errors` and `--max-error-percent` let pass.
    pub too_many_errors: bool,
}

impl Report {
    /// Whether everything held: no more errors than allowed, and nothing lost, doubled or undone.
    pub fn passed(&self) -> bool {
        !self.too_many_errors && self.violations() == 0
    }

    /// How many things the verification found wrong.
    pub fn violations(&self) -> usize {
        self.verification
            .as_ref()
            .map_or(0, |verification| verification.violations.len())
    }

    /// Whether the verification found something of this kind.
    pub fn has(&self, kind: ViolationKind) -> bool {
        self.count(kind) > 0
    }

    /// How often the verification found something of this kind.
    pub fn count(&self, kind: ViolationKind) -> usize {
        let violations = self.verification.iter().flat_map(|found| &found.violations);
        violations
            .filter(|violation| violation.kind == kind)
            .count()
    }
}

/// The answers to one command.
#[derive(Clone, Debug, Serialize)]
pub struct CommandReport {
    /// Which command, or "all".
    pub command: String,
    /// Requests that were tried.
    pub sent: u64,
    /// Answers that the course counts as right.
    pub ok: u64,
    /// Answers that it does not, by status.
    pub wrong_status: BTreeMap<u16, u64>,
    /// Requests without an answer in time.
    pub timeouts: u64,
    /// Requests without a connection, or whose connection broke.
    pub connection_errors: u64,
    /// Requests that were due but not tried, because too many were under way.
    pub not_sent: u64,
    /// How long answers took; time-outs count with the time they waited.
    #[serde(rename = "latency_ms")]
    pub latency: Option<Latency>,
}

impl CommandReport {
    /// Everything that is not right.
    pub fn errors(&self) -> u64 {
        self.wrong() + self.timeouts + self.connection_errors + self.not_sent
    }

    /// Answers with a wrong status.
    pub fn wrong(&self) -> u64 {
        self.wrong_status.values().sum()
    }

    /// The share of errors among all requests that were due.
    #[expect(clippy::cast_precision_loss, reason = "a percentage for people")]
    pub fn error_percent(&self) -> f64 {
        100.0 * self.errors() as f64 / ((self.sent + self.not_sent).max(1) as f64)
    }
}

/// Percentiles of the time to answer, in milliseconds.
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
    /// The slowest.
    #[serde(rename = "max")]
    pub max_ms: f64,
}

/// A stretch of the run, in seconds from its start.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Window {
    /// Its beginning.
    pub from_seconds: f64,
    /// Its end.
    pub to_seconds: f64,
    /// Errors in it.
    pub errors: usize,
}

/// What the comparison of the server's lists with the run found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verification {
    /// Users whose lists were compared.
    pub users: usize,
    /// Acknowledged messages that were looked for.
    pub messages: usize,
    /// Pairs of users whose follow state was compared.
    pub follows: usize,
    /// `latest`, as the server has it.
    pub latest: Option<i64>,
    /// How long reading and comparing took.
    pub elapsed_seconds: f64,
    /// What could not be compared in full, and why.
    pub notes: Vec<String>,
    /// What is not as it must be.
    pub violations: Vec<Violation>,
}

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// What went wrong.
    pub kind: ViolationKind,
    /// Whose list, which action, when.
    pub detail: String,
}

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ViolationKind {
    /// An acknowledged message is not listed.
    Lost,
    /// A message is listed more often than it was sent.
    Doubled,
    /// A message was refused, or never sent, and is listed.
    Unexpected,
    /// A message, user or follow from before the run is gone or changed.
    Altered,
    /// Messages are not listed newest first.
    Misplaced,
    /// A message bears a time outside the run.
    Misdated,
    /// A follow or unfollow that was acknowledged is not in effect.
    FollowWrong,
    /// Somebody is listed twice among the followed.
    FollowDoubled,
    /// A user who was registered does not exist.
    UserMissing,
    /// A registration was refused and took place, or was acknowledged for a taken name.
    RegisterWrong,
    /// `latest` is none of the values that it may have.
    LatestWrong,
    /// A list could not be read.
    Unreadable,
}

impl ViolationKind {
    /// How the table calls it.
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
