//! Results of scenarios, their table, and the repetition of scenarios on a disturbed machine.
//!
//! A promise must be kept on every machine. For example, no message is lost, doubled or undone. A
//! threshold is a bound of time or of failed requests, which a machine whose host takes its processors
//! can miss without a fault of the suite. A scenario is repeated only if it missed nothing but
//! thresholds and the host took processor time.

use std::fmt;

use crate::load::{Latency, LoadReport, Violation};

/// Maximum number of repetitions of a scenario.
const REPETITIONS_MAX: usize = 3;

/// Share of the processor time that the host has to take for a repetition.
const STOLEN_SHARE_FOR_REPETITION: f64 = 0.02;

/// Share of the processor time from which a result mentions the host.
const STOLEN_SHARE_SHOWN_MIN: f64 = 0.01;

/// Maximum number of violations that a result lists.
const VIOLATIONS_SHOWN_MAX: usize = 5;

/// Result of a scenario.
#[derive(Clone, Debug, Default)]
pub(crate) struct ScenarioResult {
    pub(crate) load: LoadReport,
    /// Further measurements.
    pub(crate) facts: Vec<String>,
    /// Promises that were broken.
    broken: Vec<String>,
    /// Thresholds that were missed.
    missed: Vec<String>,
}

impl ScenarioResult {
    /// The result of a load, whose verification has to find no violation.
    pub(crate) fn new(load: LoadReport) -> Self {
        let mut result = Self {
            load,
            ..Self::default()
        };
        let Some(found) = &result.load.verification else {
            result
                .broken
                .push("the content was not verified".to_owned());
            return result;
        };
        result.facts.push(format!(
            "verified: {} users, {} messages, {} follows",
            found.users, found.messages, found.follows
        ));
        for violation in found.violations.iter().take(VIOLATIONS_SHOWN_MAX) {
            let Violation { kind, detail } = violation;
            result.broken.push(format!("{kind}: {detail}"));
        }
        let more = found.violations.len().saturating_sub(VIOLATIONS_SHOWN_MAX);
        if more > 0 {
            result.broken.push(format!("{more} more violations"));
        }
        result
    }

    /// Adds a measurement.
    pub(crate) fn fact(mut self, fact: impl Into<String>) -> Self {
        self.facts.push(fact.into());
        self
    }

    /// Judges a promise. The message says what happened instead.
    pub(crate) fn promise(&mut self, is_kept: bool, message: impl Into<String>) {
        if !is_kept {
            self.broken.push(message.into());
        }
    }

    /// Judges a threshold. The message says what was measured.
    pub(crate) fn threshold(&mut self, is_met: bool, message: impl Into<String>) {
        if !is_met {
            self.missed.push(message.into());
        }
    }

    /// Judges the maximum number of failed requests.
    pub(crate) fn failed_at_most(&mut self, maximum: u64) {
        let failed = self.load.failed();
        let message = format!(
            "{failed} requests failed, at most {maximum} may: {}",
            self.load.failures()
        );
        self.threshold(failed <= maximum, message);
    }

    /// Requires that no more requests fail than the load allows.
    pub(crate) fn no_failure(mut self) -> Self {
        self.failed_at_most(self.load.allowed);
        self
    }

    /// Whether all promises were kept and all thresholds met.
    pub(crate) fn passed(&self) -> bool {
        self.broken.is_empty() && self.missed.is_empty()
    }

    /// Whether the host can be the cause of a missed threshold.
    fn is_disturbed(&self) -> bool {
        self.broken.is_empty()
            && !self.missed.is_empty()
            && self.load.stolen.share > STOLEN_SHARE_FOR_REPETITION
    }
}

/// Runs a scenario, and repeats it while only thresholds are missed and the host takes processor time.
pub(crate) async fn run_undisturbed(
    mut run: impl AsyncFnMut() -> anyhow::Result<ScenarioResult>,
) -> anyhow::Result<ScenarioResult> {
    let mut result = run().await?;
    for repetition in 1..=REPETITIONS_MAX {
        if !result.is_disturbed() {
            break;
        }
        println!(
            "{}\nrepetition {repetition} of at most {REPETITIONS_MAX}, because {}",
            Line("disturbed", &result),
            result.load.stolen
        );
        result = run().await?;
    }
    Ok(result)
}

/// Results of all scenarios.
#[derive(Debug, Default)]
pub(crate) struct ResultTable {
    rows: Vec<(&'static str, anyhow::Result<ScenarioResult>)>,
}

impl ResultTable {
    /// Prints a result and adds it.
    pub(crate) fn add(&mut self, name: &'static str, result: anyhow::Result<ScenarioResult>) {
        let mut table = Self::default();
        table.rows.push((name, result));
        print!("{table}");
        self.rows.append(&mut table.rows);
    }

    /// The scenarios that did not pass, each with the stolen time.
    pub(crate) fn failures(&self) -> Vec<String> {
        let failure = |(name, result): &(&str, anyhow::Result<ScenarioResult>)| match result {
            Ok(result) if result.passed() => None,
            Ok(result) => Some(format!(
                "{name}: {} promises broken, {} thresholds missed, {}",
                result.broken.len(),
                result.missed.len(),
                result.load.stolen
            )),
            Err(error) => Some(format!("{name}: {error:#}")),
        };
        self.rows.iter().filter_map(failure).collect()
    }

    /// Whether there are results and all of them passed.
    pub(crate) fn passed(&self) -> bool {
        !self.rows.is_empty() && self.failures().is_empty()
    }

    /// Prints the table and the failures at the end of a run.
    pub(crate) fn print_summary(&self) {
        print!("\n{self}");
        for failure in self.failures() {
            println!("FAILED {failure}");
        }
    }
}

impl fmt::Display for ResultTable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, result) in &self.rows {
            match result {
                Ok(result) => writeln!(formatter, "{}", Line(name, result))?,
                Err(error) => writeln!(formatter, "FAILED  {name:<16} {error:#}")?,
            }
        }
        Ok(())
    }
}

/// A result under a name.
struct Line<'a>(&'a str, &'a ScenarioResult);

impl fmt::Display for Line<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(name, result) = self;
        let verdict = match (result.broken.is_empty(), result.missed.is_empty()) {
            (false, _) => "BROKEN",
            (true, false) => "MISSED",
            (true, true) => "passed",
        };
        let (failed, sent) = (result.load.failed(), result.load.sent());
        write!(formatter, "{verdict}  {name:<16} {failed:>5}/{sent:<6}")?;
        if let Some(latency) = result.load.total.latency {
            let Latency { p50, p99, max } = latency;
            write!(
                formatter,
                "  p50 {p50:>5.1}  p99 {p99:>6.1}  max {max:>6.1} ms"
            )?;
        }
        for fact in &result.facts {
            write!(formatter, "\n          {fact}")?;
        }
        if result.load.failed() > 0 {
            write!(formatter, "\n          failed: {}", result.load.failures())?;
        }
        if result.load.stolen.share >= STOLEN_SHARE_SHOWN_MIN {
            write!(formatter, "\n          {}", result.load.stolen)?;
        }
        for message in &result.missed {
            write!(formatter, "\n        ! {message}")?;
        }
        for message in &result.broken {
            write!(formatter, "\n       !! {message}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::load::Verification;

    fn load(failed: u64, allowed: u64) -> LoadReport {
        let json = serde_json::json!({
            "ok_per_second": 1.0,
            "total": {"sent": 100, "ok": 100 - failed, "not_sent": 0, "latency_ms": null},
            "causes": {}, "error_windows": [], "verification": null,
        });
        let mut load: LoadReport = serde_json::from_value(json).unwrap();
        load.verification = Some(Verification::default());
        load.allowed = allowed;
        load
    }

    fn result(failed: u64, allowed: u64) -> ScenarioResult {
        ScenarioResult::new(load(failed, allowed)).no_failure()
    }

    #[test]
    fn a_missed_threshold_fails_the_table_and_names_the_stolen_time() {
        let mut table = ResultTable::default();
        assert!(!table.passed(), "an empty table proves nothing");
        table.add("good", Ok(result(0, 0)));
        assert!(table.passed());

        table.add("bad", Ok(result(3, 0)));
        assert!(!table.passed());
        let failures = table.failures().join("\n");
        assert!(failures.contains("1 thresholds missed"), "{failures}");
        assert!(failures.contains("the host took 0.0 %"), "{failures}");
    }

    #[test]
    fn as_many_requests_may_fail_as_are_allowed() {
        assert!(result(3, 3).passed());
        assert!(!result(3, 2).passed());
    }

    #[test]
    fn a_lost_message_breaks_a_promise() {
        let mut lost = load(0, 0);
        let violation = Violation {
            kind: "lost".to_owned(),
            detail: "a message".to_owned(),
        };
        lost.verification = Some(Verification {
            violations: vec![violation],
            ..Verification::default()
        });
        let result = ScenarioResult::new(lost);
        assert_eq!(result.broken, ["lost: a message"]);
    }

    #[tokio::test]
    async fn a_scenario_is_repeated_only_while_the_host_takes_processor_time() {
        let runs = |share: f64| async move {
            let count = Cell::new(0);
            let result = run_undisturbed(async || {
                count.set(count.get() + 1);
                let mut missed = result(3, 0);
                missed.load.stolen.share = share;
                Ok(missed)
            });
            assert!(!result.await.unwrap().passed());
            count.get()
        };
        assert_eq!(runs(0.0).await, 1);
        assert_eq!(runs(0.5).await, 1 + REPETITIONS_MAX);
    }
}
