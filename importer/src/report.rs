//! What came of an import, row by row where something is to be said.

use std::{
    io::{self, Write},
    time::Duration,
};

/// The tables, as people call them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    Users,
    Follows,
    Messages,
}

impl Table {
    const ALL: [Self; 3] = [Self::Users, Self::Follows, Self::Messages];

    fn name(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Follows => "follows",
            Self::Messages => "messages",
        }
    }

    /// What one row is called.
    fn row(self) -> &'static str {
        match self {
            Self::Users => "user",
            Self::Follows => "follower, row",
            Self::Messages => "message",
        }
    }
}

/// What became of the rows of one table.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// How many there are in the file.
    pub(crate) rows: u64,
    /// How many were brought over.
    pub(crate) brought: u64,
    /// How many had been there before.
    pub(crate) there_before: u64,
    /// Rows that say what another row has said, and are part of that one now.
    pub(crate) merged: Vec<(i64, String)>,
    /// Rows that are not brought over.
    pub(crate) refused: Vec<(i64, String)>,
    /// How long it took.
    pub(crate) took: Duration,
}

impl Tally {
    /// A row that is in the suite now.
    pub(crate) fn delivered(&mut self, stored_before: bool) {
        if stored_before {
            self.there_before += 1;
        } else {
            self.brought += 1;
        }
    }

    pub(crate) fn refuse(&mut self, row: i64, reason: impl Into<String>) {
        self.refused.push((row, reason.into()));
    }

    pub(crate) fn merge(&mut self, row: i64, reason: impl Into<String>) {
        self.merged.push((row, reason.into()));
    }
}

/// What became of all of them.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) dry_run: bool,
    pub(crate) users: Tally,
    pub(crate) follows: Tally,
    pub(crate) messages: Tally,
    /// Users whose passwords match nothing.
    pub(crate) locked_out: Vec<i64>,
}

impl Report {
    fn tally(&self, table: Table) -> &Tally {
        match table {
            Table::Users => &self.users,
            Table::Follows => &self.follows,
            Table::Messages => &self.messages,
        }
    }

    /// Whether every row is in the suite, by itself or as part of another.
    pub(crate) fn is_complete(&self) -> bool {
        let mut all = Table::ALL.iter();
        all.all(|table| self.tally(*table).refused.is_empty())
    }

    /// Writes it down for people; of each list at most `lines_max` lines.
    pub(crate) fn write(&self, lines_max: usize, out: &mut impl Write) -> io::Result<()> {
        let brought = if self.dry_run {
            "would come"
        } else {
            "brought over"
        };
        writeln!(
            out,
            "{:10} {:>12} {brought:>14} {:>14} {:>10} {:>10} {:>10}",
            "", "in the file", "there before", "merged", "refused", "seconds"
        )?;
        for table in Table::ALL {
            let tally = self.tally(table);
            writeln!(
                out,
                "{:10} {:>12} {:>14} {:>14} {:>10} {:>10} {:>10.1}",
                table.name(),
                tally.rows,
                tally.brought,
                tally.there_before,
                tally.merged.len(),
                tally.refused.len(),
                tally.took.as_secs_f64()
            )?;
        }
        self.list("Not brought over", |tally| &tally.refused, lines_max, out)?;
        self.list("Part of another row", |tally| &tally.merged, lines_max, out)?;
        if !self.locked_out.is_empty() {
            writeln!(
                out,
                "\nWithout a password that could match, until `minitwit user reset-password`:"
            )?;
            let lines = self.locked_out.iter().map(|id| format!("user {id}"));
            some(lines, self.locked_out.len(), lines_max, out)?;
        }
        Ok(())
    }

    fn list<'a>(
        &'a self,
        title: &str,
        of: impl Fn(&'a Tally) -> &'a Vec<(i64, String)>,
        lines_max: usize,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let count: usize = Table::ALL
            .iter()
            .map(|&table| of(self.tally(table)).len())
            .sum();
        if count == 0 {
            return Ok(());
        }
        writeln!(out, "\n{title}:")?;
        let lines = Table::ALL.iter().flat_map(|&table| {
            let rows = of(self.tally(table)).iter();
            rows.map(move |(row, reason)| format!("{} {row}: {reason}", table.row()))
        });
        some(lines, count, lines_max, out)
    }
}

fn some(
    lines: impl Iterator<Item = String>,
    count: usize,
    lines_max: usize,
    out: &mut impl Write,
) -> io::Result<()> {
    for line in lines.take(lines_max) {
        writeln!(out, "  {line}")?;
    }
    if count > lines_max {
        writeln!(
            out,
            "  … and {} more: --report FILE has them all",
            count - lines_max
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_with_something_to_say_is_listed_up_to_a_bound() {
        let mut report = Report::default();
        report.users.rows = 3;
        report.users.delivered(false);
        report.users.merge(2, "as user 1");
        for row in 7..10 {
            report.messages.refuse(row, "no author");
        }
        assert!(!report.is_complete());
        let mut text = Vec::new();
        report.write(2, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(
            text.contains("  message 8: no author\n  … and 1 more"),
            "{text}"
        );
        assert!(
            text.contains("Part of another row:\n  user 2: as user 1\n"),
            "{text}"
        );
        assert!(!text.contains("message 9"), "{text}");
    }
}
