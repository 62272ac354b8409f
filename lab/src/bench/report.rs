//! Results of a bench as a table for people, JSON for programs, and a chart.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    Engine,
    data::Scale,
    estimate::Estimate,
    side::Against,
    wrk::{Kind, Load, Measurement},
};
use crate::{
    chart::bars::{Bar, BarChart, Group},
    fleet::Memory,
};

/// All results of a bench.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) against: Against,
    pub(super) engine: Engine,
    pub(super) scale: Scale,
    pub(super) seconds: u64,
    /// Least ratio of every row, if there is one.
    pub(super) threshold: Option<f64>,
    pub(super) rows: Vec<Row>,
    pub(super) memory: Vec<Memory>,
}

/// A load with which both sides were driven in turn.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) load: Load,
    pub(super) pairs: Vec<Pair>,
}

/// One measurement of each side, one directly after the other.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Pair {
    pub(super) suite: Measurement,
    pub(super) other: Measurement,
}

impl Pair {
    /// Requests per second of the suite divided by those of the other side.
    pub(super) fn ratio(&self) -> f64 {
        self.suite.requests_per_second / self.other.requests_per_second
    }
}

impl Row {
    fn estimate(&self, number: impl Fn(&Pair) -> f64) -> Estimate {
        Estimate::new(self.pairs.iter().map(number))
    }

    /// Ratio of the requests per second, pair by pair.
    fn ratio(&self) -> Estimate {
        self.estimate(Pair::ratio)
    }

    /// Ratio of the median response times, pair by pair.
    fn p50_ratio(&self) -> Estimate {
        self.estimate(|pair| pair.suite.p50_ms / pair.other.p50_ms)
    }

    /// Errors of the suite and of the other side.
    fn errors(&self) -> [u64; 2] {
        let sum = |errors: fn(&Pair) -> u64| self.pairs.iter().map(errors).sum();
        [
            sum(|pair| pair.suite.errors()),
            sum(|pair| pair.other.errors()),
        ]
    }

    fn markdown(&self) -> String {
        let median = |number: fn(&Pair) -> f64| self.estimate(number).median;
        let ratio = self.ratio();
        let [from, to] = ratio.interval.unwrap_or([ratio.least, ratio.greatest]);
        let [suite_errors, other_errors] = self.errors();
        let latest = if self.load.with_latest {
            "with"
        } else {
            "without"
        };
        format!(
            "| {} | {} | {latest} | {:.0} | {:.0} | **{:.2}** ({from:.2} – {to:.2}) | {:.2} | {:.2} | {:.2} | \
             {:.2} | {:.2} | {suite_errors} / {other_errors} |",
            self.load.kind.title().replace('<', "\\<"),
            self.load.connections,
            median(|pair| pair.suite.requests_per_second),
            median(|pair| pair.other.requests_per_second),
            ratio.median,
            median(|pair| pair.suite.p50_ms),
            median(|pair| pair.other.p50_ms),
            self.p50_ratio().median,
            median(|pair| pair.suite.p99_ms),
            median(|pair| pair.other.p99_ms),
        )
    }

    fn json(&self) -> Value {
        json!({
            "kind": self.load.kind.name(),
            "connections": self.load.connections,
            "latest": self.load.with_latest,
            "ratio": self.ratio(),
            "p50_ratio": self.p50_ratio(),
            "pairs": self.pairs,
        })
    }
}

/// Header of the table. `OTHER` is the opponent, and `RANGE` the meaning of the range after the ratio.
const HEADER: &str = "\
| work | connections | latest | suite, req/s | OTHER, req/s | ratio (RANGE) | suite p50, ms | OTHER p50, ms | p50 ratio | suite p99, ms | OTHER p99, ms | errors, suite / OTHER |
|---|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|
";

impl Report {
    /// Failed requests and missed thresholds.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for row in &self.rows {
            let [suite, other] = row.errors();
            if suite + other > 0 {
                let other_name = self.against.short_name();
                problems.push(format!(
                    "{}: {suite} requests of the suite and {other} of the {other_name} failed",
                    row.load
                ));
            }
            let ratio = row.ratio();
            if let (Some(threshold), Some([lower, upper])) = (self.threshold, ratio.interval)
                && ratio.is_below(threshold)
            {
                problems.push(format!(
                    "{}: ratio {:.3} ({lower:.3} – {upper:.3}), the threshold is {threshold}",
                    row.load, ratio.median
                ));
            }
        }
        problems
    }

    /// The two sides in a sentence.
    fn subject(&self) -> String {
        let against = self.against.name();
        match self.engine {
            Engine::Postgres => format!(
                "The suite, its gateway and its three services as processes of their own, against \
                 {against}, both on the same PostgreSQL."
            ),
            Engine::Sqlite if self.against.is_suite() => {
                format!("The suite in one process on SQLite against {against}.")
            }
            Engine::Sqlite => format!(
                "The suite in one process on SQLite against {against} on PostgreSQL: not the same \
                 database."
            ),
        }
    }

    /// A table of the rows and a table of the memory.
    pub(super) fn markdown(&self) -> String {
        let Scale {
            users,
            messages,
            follows,
        } = self.scale;
        let first = self.rows.first();
        let pairs = first.map_or(0, |row| row.pairs.len());
        let has_interval = first.is_some_and(|row| row.ratio().interval.is_some());
        let (range, explanation) = if has_interval {
            ("95 % interval", "the 95 % interval of the median ratio")
        } else {
            ("min – max", "the least and the greatest ratio")
        };
        let header = HEADER
            .replace("OTHER", self.against.short_name())
            .replace("RANGE", range);
        let mut text = format!(
            "{} {users} users, {messages} messages, {follows} follows; medians of {pairs} interleaved \
             pairs of {} s a side, with {explanation}.\n\n{header}",
            self.subject(),
            self.seconds,
        );
        for row in &self.rows {
            text.push_str(&row.markdown());
            text.push('\n');
        }
        text.push_str("\n| process | memory at the end, MB | at most, MB |\n|---|--:|--:|\n");
        for memory in &self.memory {
            let (resident, peak) = (megabytes(memory.resident_kib), megabytes(memory.peak_kib));
            // Writing to a string cannot fail.
            let _ = writeln!(text, "| {} | {resident:.1} | {peak:.1} |", memory.process);
        }
        text
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "subject": self.subject(),
            "engine": self.engine,
            "cores": std::thread::available_parallelism().map_or(0, usize::from),
            "users": self.scale.users,
            "messages": self.scale.messages,
            "follows": self.scale.follows,
            "seconds": self.seconds,
            "threshold": self.threshold,
            "rows": self.rows.iter().map(Row::json).collect::<Vec<_>>(),
            "memory": self.memory,
        })
    }

    /// The ratios of the rows with a `latest` as bars, or of all rows where no row has a `latest`.
    pub(super) fn chart(&self) -> BarChart {
        let with_latest = self.rows.iter().any(|row| row.load.with_latest);
        let is_shown = |row: &&Row| row.load.with_latest == with_latest;
        let rows: Vec<&Row> = self.rows.iter().filter(is_shown).collect();
        let mut kinds: Vec<Kind> = rows.iter().map(|row| row.load.kind).collect();
        kinds.dedup();
        let mut connections: Vec<u32> = rows.iter().map(|row| row.load.connections).collect();
        connections.sort_unstable_by(|a, b| b.cmp(a));
        connections.dedup();

        let bar = |row: &&Row| {
            let mut series = connections.iter();
            let series = series.position(|count| *count == row.load.connections);
            let ratio = row.ratio();
            Bar {
                series: series.unwrap_or_default(),
                value: ratio.median,
                interval: ratio.interval,
            }
        };
        let group = |kind: Kind| {
            let bars = rows.iter().filter(|row| row.load.kind == kind);
            Group {
                name: kind.title().to_owned(),
                bars: bars.map(bar).collect(),
            }
        };
        let latest = if with_latest {
            "every request moves a durable “latest”"
        } else {
            "no request moves “latest”"
        };
        let database = match self.engine {
            Engine::Postgres => "both on the same PostgreSQL",
            Engine::Sqlite if self.against.is_suite() => "both in one process on SQLite",
            Engine::Sqlite => "the suite in one process on SQLite, the monolith on PostgreSQL",
        };
        BarChart {
            title: format!(
                "Requests per second, as a multiple of those of {}",
                self.against.name().replace('`', "")
            ),
            subtitle: format!("{database}; {latest}"),
            reference: self.against.short_name().to_owned(),
            groups: kinds.into_iter().map(group).collect(),
            series: connections
                .iter()
                .map(|count| series_name(*count))
                .collect(),
        }
    }
}

fn series_name(connections: u32) -> String {
    let plural = if connections == 1 { "" } else { "s" };
    format!("{connections} connection{plural}")
}

#[expect(clippy::cast_precision_loss, reason = "it is rounded to a tenth")]
fn megabytes(kib: u64) -> f64 {
    kib as f64 * 1_024.0 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(ratio: f64, pairs: usize) -> Report {
        let measurement = |requests_per_second| Measurement {
            requests_per_second,
            p50_ms: 1.0,
            p99_ms: 2.0,
            refusals: 0,
            failures: 0,
        };
        let pair = Pair {
            suite: measurement(1_000.0 * ratio),
            other: measurement(1_000.0),
        };
        let load = Load {
            kind: Kind::Post,
            connections: 64,
            with_latest: true,
            users: 10,
        };
        let pairs = vec![pair; pairs];
        Report {
            against: Against::Build,
            engine: Engine::Postgres,
            scale: Scale {
                users: 10,
                messages: 20,
                follows: 30,
            },
            seconds: 1,
            threshold: Some(0.97),
            rows: vec![Row { load, pairs }],
            memory: Vec::new(),
        }
    }

    #[test]
    fn a_ratio_below_the_threshold_is_a_problem_if_there_are_enough_pairs() {
        assert!(report(0.98, 21).problems().is_empty());
        assert!(report(0.90, 5).problems().is_empty());
        let problems = report(0.90, 21).problems();
        assert_eq!(problems.len(), 1);
        assert!(problems[0].contains("ratio 0.900"), "{problems:?}");
    }

    #[test]
    fn the_table_says_what_the_range_after_the_ratio_is() {
        let table = report(2.0, 21).markdown();
        assert!(table.contains("ratio (95 % interval)"), "{table}");
        assert!(table.contains("medians of 21 interleaved pairs of 1 s"));
        assert!(table.contains("**2.00** (2.00 – 2.00)"));
        assert!(report(2.0, 3).markdown().contains("ratio (min – max)"));
    }
}
