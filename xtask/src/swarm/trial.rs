//! What a scenario has shown, and the table of all of them.

use std::fmt;

use crate::load::Measured;

/// So many of the things that were lost are shown.
const SHOWN_MAX: usize = 5;

/// The host's part is told of from here on.
const STOLEN_MIN: f64 = 0.01;

/// What was measured, what else is worth telling, and which promises were not kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trial {
    measured: Measured,
    facts: Vec<String>,
    broken: Vec<String>,
}

impl Trial {
    /// Nothing may be lost or doubled, whatever happens.
    pub(crate) fn new(measured: Measured) -> Self {
        let stolen = &measured.stolen;
        let host = (stolen.share >= STOLEN_MIN).then(|| stolen.to_string());
        let found = &measured.violations;
        let mut broken: Vec<String> = found.iter().take(SHOWN_MAX).cloned().collect();
        if found.len() > SHOWN_MAX {
            broken.push(format!("and {} more of the kind", found.len() - SHOWN_MAX));
        }
        Self {
            measured,
            facts: host.into_iter().collect(),
            broken,
        }
    }

    /// Something to be told of.
    pub(crate) fn fact(mut self, fact: impl Into<String>) -> Self {
        self.facts.push(fact.into());
        self
    }

    /// A promise: `broken` says what happened instead.
    pub(crate) fn promise(mut self, kept: bool, broken: impl Into<String>) -> Self {
        if !kept {
            self.broken.push(broken.into());
        }
        self
    }

    /// The promise that no request fails, or hardly any where that is allowed.
    pub(crate) fn no_failure(self) -> Self {
        let Measured {
            failed, allowed, ..
        } = self.measured;
        let story = self.measured.story();
        self.promise(
            failed <= allowed,
            format!("{failed} requests failed: {story}"),
        )
    }
}

/// The scenarios so far.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<(&'static str, anyhow::Result<Trial>)>,
}

impl Table {
    pub(crate) fn add(&mut self, name: &'static str, trial: anyhow::Result<Trial>) {
        let mut row = Self::default();
        row.rows.push((name, trial));
        println!("{row}");
        self.rows.append(&mut row.rows);
    }

    /// Whether everything was kept that was promised.
    pub(crate) fn has_held(&self) -> bool {
        let held = |trial: &anyhow::Result<Trial>| {
            trial.as_ref().is_ok_and(|trial| trial.broken.is_empty())
        };
        self.rows.iter().all(|(_, trial)| held(trial))
    }

    /// Whether every scenario came to its end, and lost nothing: what no slow machine excuses.
    pub(crate) fn is_sound(&self) -> bool {
        let sound = |trial: &anyhow::Result<Trial>| {
            let trial = trial.as_ref();
            trial.is_ok_and(|trial| trial.measured.violations.is_empty())
        };
        !self.rows.is_empty() && self.rows.iter().all(|(_, trial)| sound(trial))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "{:<16} {:<6} {:>7} {:>7} {:>8} {:>8} {:>8}  what happened",
            "scenario", "held", "sent", "failed", "p50 ms", "p99 ms", "max ms"
        )?;
        for (name, trial) in &self.rows {
            match trial {
                Ok(trial) => {
                    let held = if trial.broken.is_empty() { "yes" } else { "NO" };
                    let Measured {
                        sent,
                        failed,
                        latency_ms: [p50, p99, max],
                        ..
                    } = trial.measured;
                    writeln!(
                        formatter,
                        "{name:<16} {held:<6} {sent:>7} {failed:>7} {p50:>8.1} {p99:>8.1} \
                         {max:>8.1}  {}",
                        trial.facts.join("; ")
                    )?;
                    for broken in &trial.broken {
                        writeln!(formatter, "{:16} broken: {broken}", "")?;
                    }
                }
                Err(error) => writeln!(formatter, "{name:<16} NO     {error:#}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(failed: u64) -> Measured {
        Measured {
            sent: 100,
            failed,
            ..Measured::default()
        }
    }

    #[test]
    fn a_broken_promise_is_told_of_and_fails_the_whole() {
        let mut table = Table::default();
        table.add("good", Ok(Trial::new(measured(0)).no_failure()));
        assert!(table.has_held());

        table.add("bad", Ok(Trial::new(measured(3)).no_failure()));
        assert!(!table.has_held() && table.is_sound());
        assert!(table.to_string().contains("3 requests failed"));
    }

    #[test]
    fn so_many_may_fail_as_are_allowed() {
        let allowed = |allowed| Measured {
            allowed,
            ..measured(3)
        };
        let is_kept = |measured| Trial::new(measured).no_failure().broken.is_empty();
        assert!(is_kept(allowed(3)));
        assert!(!is_kept(allowed(2)));
    }

    #[test]
    fn what_was_lost_breaks_every_promise() {
        let lost = Measured {
            violations: vec!["lost: a message".into()],
            ..measured(0)
        };
        let mut table = Table::default();
        assert!(!table.is_sound(), "nothing was shown");
        table.add("bad", Ok(Trial::new(lost)));
        assert!(!table.has_held() && !table.is_sound());
    }
}
