//! A sequence of steps. A step that fails does not stop the next step. A summary names each outcome.

use std::{
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

/// Result of a step that did not fail.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    /// The step cannot run on this machine. The text gives the reason and the remedy.
    Skipped(String),
}

/// Outcomes of the steps that have run.
#[derive(Debug)]
pub(crate) struct Report {
    start: Instant,
    rows: Vec<Row>,
}

impl Default for Report {
    fn default() -> Self {
        let start = Instant::now();
        Self {
            start,
            rows: Vec::new(),
        }
    }
}

#[derive(Debug)]
struct Row {
    title: &'static str,
    outcome: anyhow::Result<Outcome>,
    time: Duration,
}

impl Report {
    /// Runs a step, prints its outcome, and returns whether the step passed.
    pub(crate) fn step(
        &mut self,
        title: &'static str,
        run: impl FnOnce() -> anyhow::Result<Outcome>,
    ) -> bool {
        println!("\n== {title}");
        let start = Instant::now();
        let outcome = run();
        let time = start.elapsed();
        println!("== {}", describe(title, &outcome, time));
        let passed = matches!(outcome, Ok(Outcome::Passed));
        self.rows.push(Row {
            title,
            outcome,
            time,
        });
        passed
    }

    /// Records a step as skipped because an earlier step failed.
    pub(crate) fn skip(&mut self, title: &'static str, reason: &str) {
        self.step(title, || Ok(Outcome::Skipped(reason.to_owned())));
    }

    /// Prints the table of outcomes, the total time since the report began, and the counts.
    pub(crate) fn finish(self) -> ExitCode {
        println!("\n== Summary");
        for row in &self.rows {
            println!("{}", describe(row.title, &row.outcome, row.time));
        }
        let count = |wanted: fn(&Row) -> bool| self.rows.iter().filter(|row| wanted(row)).count();
        let failed = count(|row| row.outcome.is_err());
        let skipped = count(|row| matches!(row.outcome, Ok(Outcome::Skipped(_))));
        let passed = self.rows.len() - failed - skipped;
        println!(
            "total    {:<16} {:>6.1} s",
            "",
            self.start.elapsed().as_secs_f32()
        );
        // CI systems recognize this form if it stands alone on the last line.
        println!("\n{passed} passed, {failed} failed, {skipped} skipped");
        if failed == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

fn describe(title: &str, outcome: &anyhow::Result<Outcome>, time: Duration) -> String {
    let seconds = time.as_secs_f32();
    match outcome {
        Ok(Outcome::Passed) => format!("passed   {title:<16} {seconds:>6.1} s"),
        Ok(Outcome::Skipped(reason)) => format!("skipped  {title:<16}          {reason}"),
        Err(error) => format!("FAILED   {title:<16} {seconds:>6.1} s  {error:#}"),
    }
}

/// Prints the success message of a rule.
pub(crate) fn rule(result: anyhow::Result<String>) -> anyhow::Result<Outcome> {
    println!("{}", result?);
    Ok(Outcome::Passed)
}

/// Prints a command, runs it with this program's output, and fails if the command fails.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<Outcome> {
    xtask::run(command).map(|()| Outcome::Passed)
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    #[test]
    fn a_failed_step_does_not_stop_the_others_and_fails_the_whole() {
        let mut report = Report::default();

        assert!(!report.step("one", || bail!("no")));
        assert!(report.step("two", || Ok(Outcome::Passed)));
        assert_eq!(report.finish(), ExitCode::FAILURE);
    }

    #[test]
    fn a_skipped_step_does_not_fail_the_whole() {
        let mut report = Report::default();
        report.skip("one", "not here");

        assert_eq!(report.finish(), ExitCode::SUCCESS);
    }
}
