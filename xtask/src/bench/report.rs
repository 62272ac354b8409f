//! What was measured, as a table for people and as JSON for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::process::Memory;

use super::{
    Engine,
    data::Scale,
    side::Against,
    wrk::{Load, Measurement},
};

/// All that one bench has measured.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) against: Against,
    pub(crate) engine: Engine,
    pub(crate) scale: Scale,
    pub(crate) seconds: u64,
    pub(crate) rows: Vec<Row>,
    pub(crate) memory: Vec<Memory>,
}

/// One load, driven at both sides in turn.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) load: Load,
    pub(crate) pairs: Vec<Pair>,
}

/// One turn of each side, one right after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub(crate) suite: Measurement,
    pub(crate) other: Measurement,
}

/// The median of some numbers, and how far they lie apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) greatest: f64,
}

impl Spread {
    fn of(numbers: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = numbers.collect();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        } else {
            sorted[middle]
        };
        Self {
            least: sorted[0],
            median,
            greatest: sorted[sorted.len() - 1],
        }
    }
}

impl Pair {
    /// How many times as many requests the suite has served.
    pub(crate) fn ratio(&self) -> f64 {
        self.suite.requests_per_second / self.other.requests_per_second
    }
}

impl Row {
    fn spread(&self, number: impl Fn(&Pair) -> f64) -> Spread {
        Spread::of(self.pairs.iter().map(number))
    }

    /// How many times as many requests the suite has served, pair by pair.
    pub(crate) fn ratio(&self) -> Spread {
        self.spread(Pair::ratio)
    }

    /// How many times as long half of the suite's requests took at most, pair by pair.
    fn p50_ratio(&self) -> Spread {
        self.spread(|pair| pair.suite.p50_ms / pair.other.p50_ms)
    }

    fn errors(&self) -> (u64, u64) {
        let sum = |errors: fn(&Pair) -> u64| self.pairs.iter().map(errors).sum();
        (
            sum(|pair| pair.suite.errors()),
            sum(|pair| pair.other.errors()),
        )
    }

    fn markdown(&self) -> String {
        let median = |number: fn(&Pair) -> f64| self.spread(number).median;
        let ratio = self.ratio();
        let (ours, theirs) = self.errors();
        format!(
            "| {} | {} | {} | {:.0} | {:.0} | **{:.2}** ({:.2} – {:.2}) | {:.2} | {:.2} | {:.2} | \
             {:.2} | {:.2} | {ours} / {theirs} |",
            self.load.kind.title().replace('<', "\\<"),
            self.load.connections,
            if self.load.with_latest {
                "with"
            } else {
                "without"
            },
            median(|pair| pair.suite.requests_per_second),
            median(|pair| pair.other.requests_per_second),
            ratio.median,
            ratio.least,
            ratio.greatest,
            median(|pair| pair.suite.p50_ms),
            median(|pair| pair.other.p50_ms),
            self.p50_ratio().median,
            median(|pair| pair.suite.p99_ms),
            median(|pair| pair.other.p99_ms),
        )
    }

    fn json(&self) -> Value {
        let spread = |spread: Spread| json!({ "median": spread.median, "min": spread.least, "max": spread.greatest });
        let side = |measurement: &Measurement| {
            json!({
                "requests_per_second": measurement.requests_per_second,
                "p50_ms": measurement.p50_ms,
                "p99_ms": measurement.p99_ms,
                "refusals": measurement.refusals,
                "failures": measurement.failures,
            })
        };
        let pair = |pair: &Pair| json!({ "suite": side(&pair.suite), "other": side(&pair.other) });
        json!({
            "kind": self.load.kind.name(),
            "connections": self.load.connections,
            "latest": self.load.with_latest,
            "ratio": spread(self.ratio()),
            "p50_ratio": spread(self.p50_ratio()),
            "pairs": self.pairs.iter().map(pair).collect::<Vec<_>>(),
        })
    }
}

/// The head of the table; `OTHER` is what the suite is measured against.
const HEADER: &str = "\
| work | connections | latest | suite, req/s | OTHER, req/s | ratio (min – max) | suite p50, ms | OTHER p50, ms | p50 ratio | suite p99, ms | OTHER p99, ms | errors, suite / OTHER |
|---|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|
";

impl Report {
    /// Errors of both sides.
    pub(crate) fn errors(&self) -> u64 {
        let errors = |row: &Row| {
            let (ours, theirs) = row.errors();
            ours + theirs
        };
        self.rows.iter().map(errors).sum()
    }

    /// What was compared, in a sentence.
    pub(crate) fn subject(&self) -> String {
        let against = self.against.name();
        match self.engine {
            Engine::Postgres => format!(
                "The suite, its gateway and its three services as processes of their own, against \
                 {against}, both on the same PostgreSQL."
            ),
            Engine::Sqlite if self.against == Against::Untold => {
                format!("The suite in one process on SQLite against {against}.")
            }
            Engine::Sqlite => format!(
                "The suite in one process on SQLite against {against} on PostgreSQL: not the same \
                 database."
            ),
        }
    }

    /// A table of the rows and one of the memory.
    pub(crate) fn markdown(&self) -> String {
        let Scale {
            users,
            messages,
            follows,
        } = self.scale;
        let pairs = self.rows.first().map_or(0, |row| row.pairs.len());
        let mut text = format!(
            "{} {users} users, {messages} messages, {follows} follows; medians of {pairs} pairs of \
             {} s a side, with the least and the greatest ratio.\n\n{}",
            self.subject(),
            self.seconds,
            HEADER.replace("OTHER", self.against.short())
        );
        for row in &self.rows {
            text.push_str(&row.markdown());
            text.push('\n');
        }
        text.push_str("\n| process | memory at the end, MB | at most, MB |\n|---|--:|--:|\n");
        for memory in &self.memory {
            writeln!(
                text,
                "| {} | {:.1} | {:.1} |",
                memory.name,
                megabytes(memory.resident_kib),
                megabytes(memory.peak_kib)
            )
            .expect("a string takes all");
        }
        text
    }

    pub(crate) fn json(&self) -> Value {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let memory = |memory: &Memory| {
            json!({
                "process": memory.name,
                "resident_kib": memory.resident_kib,
                "peak_kib": memory.peak_kib,
            })
        };
        json!({
            "subject": self.subject(),
            "engine": self.engine.name(),
            "cores": cores,
            "users": self.scale.users,
            "messages": self.scale.messages,
            "follows": self.scale.follows,
            "seconds": self.seconds,
            "rows": self.rows.iter().map(Row::json).collect::<Vec<_>>(),
            "memory": self.memory.iter().map(memory).collect::<Vec<_>>(),
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "it is rounded to a tenth")]
fn megabytes(kib: u64) -> f64 {
    kib as f64 * 1_024.0 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_two() {
        let spread = Spread::of([4.0, 1.0, 3.0, 2.0].into_iter());

        assert!((spread.median - 2.5).abs() < 1e-9);
        assert!((spread.least - 1.0).abs() < 1e-9);
        assert!((spread.greatest - 4.0).abs() < 1e-9);
    }
}
