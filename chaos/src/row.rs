//! What a scenario found: one row of the table.

use std::fmt;

use minitwit_simulator::{Latency, Report, Verification};

use crate::meter::Calls;

/// The result of one scenario.
#[derive(Clone, Debug)]
pub struct Row {
    /// Which one.
    pub title: &'static str,
    /// Requests that were not answered as they should be.
    pub failed: u64,
    /// All requests.
    pub sent: u64,
    /// How long they took.
    pub latency: Option<Latency>,
    /// What the gateways needed for it.
    pub calls: Calls,
    /// What else is worth knowing.
    pub notes: Vec<String>,
    /// Promises that do not hold, whatever the machine: something lost, doubled or undone.
    pub broken: Vec<String>,
    /// Bars of time that were missed: the machine may have been busy with something else.
    pub late: Vec<String>,
}

impl Row {
    /// A row without requests.
    pub fn new(title: &'static str) -> Self {
        Self {
            title,
            failed: 0,
            sent: 0,
            latency: None,
            calls: Calls::default(),
            notes: Vec::new(),
            broken: Vec::new(),
            late: Vec::new(),
        }
    }

    /// A row of a simulation, with what its verification found.
    pub fn of(title: &'static str, report: &Report, calls: Calls) -> Self {
        let mut row = Self {
            failed: report.total.errors(),
            sent: report.total.sent + report.total.not_sent,
            latency: report.total.latency,
            calls,
            ..Self::new(title)
        };
        for (cause, count) in &report.causes {
            row.notes.push(format!("{count} × {cause}"));
        }
        for window in &report.error_windows {
            row.notes.push(format!(
                "{} errors from {:.1} to {:.1} s",
                window.errors, window.from_seconds, window.to_seconds
            ));
        }
        row.judge(report.verification.as_ref());
        row
    }

    fn judge(&mut self, verification: Option<&Verification>) {
        let Some(found) = verification else {
            return self.broken.push("nothing was verified".to_owned());
        };
        self.notes.push(format!(
            "verified: {} users, {} messages, {} follows",
            found.users, found.messages, found.follows
        ));
        for violation in found.violations.iter().take(10) {
            self.broken
                .push(format!("{}: {}", violation.kind.name(), violation.detail));
        }
    }

    /// A promise, and what to say when it does not hold.
    pub fn promise(&mut self, holds: bool, otherwise: impl Into<String>) {
        if !holds {
            self.broken.push(otherwise.into());
        }
    }

    /// A bar of time, and what to say when it is missed.
    pub fn bar(&mut self, holds: bool, otherwise: impl Into<String>) {
        if !holds {
            self.late.push(otherwise.into());
        }
    }

    /// The bar for failed requests: so many at most.
    pub fn bar_failed(&mut self, most: u64) {
        let failed = self.failed;
        self.bar(
            failed <= most,
            format!("{failed} failed, at most {most} may"),
        );
    }

    /// Whether everything held.
    pub fn passed(&self) -> bool {
        self.broken.is_empty() && self.late.is_empty()
    }
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match (self.broken.is_empty(), self.late.is_empty()) {
            (false, _) => "BROKEN",
            (true, false) => "missed",
            (true, true) => "held",
        };
        write!(
            formatter,
            "{verdict:<7} {:<22} {:>6}/{:<6}",
            self.title, self.failed, self.sent
        )?;
        if let Some(latency) = self.latency {
            write!(
                formatter,
                "  p50 {:>5.1}  p99 {:>6.1}  max {:>6.1} ms",
                latency.p50_ms, latency.p99_ms, latency.max_ms
            )?;
        }
        if self.calls.calls > 0.0 {
            let (retries, hedges) = (self.calls.retries_percent(), self.calls.hedges_percent());
            write!(formatter, "  retries {retries:.2} %  hedges {hedges:.2} %")?;
        }
        for note in &self.notes {
            write!(formatter, "\n          {note}")?;
        }
        for late in &self.late {
            write!(formatter, "\n        ! {late}")?;
        }
        for broken in &self.broken {
            write!(formatter, "\n       !! {broken}")?;
        }
        Ok(())
    }
}
