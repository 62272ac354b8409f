//! Report of an import, with the numbers per table and each row that was refused or merged.

use std::{
    io::{self, Write},
    time::Duration,
};

/// Tables of the old system.
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

    /// Name of one row in the report.
    fn row_name(self) -> &'static str {
        match self {
            Self::Users => "user",
            Self::Follows => "follower, row",
            Self::Messages => "message",
        }
    }
}

/// Results of the rows of one table.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Number of rows in the file.
    pub(crate) rows: u64,
    /// Number of rows that this import stored.
    pub(crate) imported: u64,
    /// Number of rows that an earlier import stored.
    pub(crate) stored_before: u64,
    /// Rows that have the same content as an earlier row, with the reason.
    pub(crate) merged: Vec<(i64, String)>,
    /// Rows that are not imported, with the reason.
    pub(crate) refused: Vec<(i64, String)>,
    /// Duration of the import of the table.
    pub(crate) took: Duration,
}

impl Tally {
    /// Counts a row that is stored.
    pub(crate) fn stored(&mut self, stored_before: bool) {
        if stored_before {
            self.stored_before += 1;
        } else {
            self.imported += 1;
        }
    }

    /// Adds a row that is not imported.
    pub(crate) fn refuse(&mut self, row: i64, reason: impl Into<String>) {
        self.refused.push((row, reason.into()));
    }

    /// Adds a row that has the same content as an earlier row.
    pub(crate) fn merge(&mut self, row: i64, reason: impl Into<String>) {
        self.merged.push((row, reason.into()));
    }
}

/// Results of all tables.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) dry_run: bool,
    pub(crate) users: Tally,
    pub(crate) follows: Tally,
    pub(crate) messages: Tally,
    /// Users whose password hash matches no password.
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

    /// Returns whether all rows are stored or merged.
    pub(crate) fn is_complete(&self) -> bool {
        let mut all = Table::ALL.iter();
        all.all(|table| self.tally(*table).refused.is_empty())
    }

    /// Writes the report, with at most `lines_max` lines of each list.
    pub(crate) fn write(&self, lines_max: usize, out: &mut impl Write) -> io::Result<()> {
        let imported = if self.dry_run {
            "would import"
        } else {
            "imported"
        };
        writeln!(
            out,
            "{:10} {:>12} {imported:>14} {:>14} {:>10} {:>10} {:>10}",
            "", "in the file", "stored before", "merged", "refused", "seconds"
        )?;
        for table in Table::ALL {
            let tally = self.tally(table);
            writeln!(
                out,
                "{:10} {:>12} {:>14} {:>14} {:>10} {:>10} {:>10.1}",
                table.name(),
                tally.rows,
                tally.imported,
                tally.stored_before,
                tally.merged.len(),
                tally.refused.len(),
                tally.took.as_secs_f64()
            )?;
        }
        self.write_list("Not imported", |tally| &tally.refused, lines_max, out)?;
        self.write_list("Part of another row", |tally| &tally.merged, lines_max, out)?;
        if !self.locked_out.is_empty() {
            writeln!(
                out,
                "\nNo password matches until `minitwit user reset-password`:"
            )?;
            let lines = self.locked_out.iter().map(|id| format!("user {id}"));
            write_lines(lines, self.locked_out.len(), lines_max, out)?;
        }
        Ok(())
    }

    fn write_list<'a>(
        &'a self,
        title: &str,
        select: impl Fn(&'a Tally) -> &'a Vec<(i64, String)>,
        lines_max: usize,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let count: usize = Table::ALL
            .iter()
            .map(|&table| select(self.tally(table)).len())
            .sum();
        if count == 0 {
            return Ok(());
        }
        writeln!(out, "\n{title}:")?;
        let lines = Table::ALL.iter().flat_map(|&table| {
            let rows = select(self.tally(table)).iter();
            rows.map(move |(row, reason)| format!("{} {row}: {reason}", table.row_name()))
        });
        write_lines(lines, count, lines_max, out)
    }
}

fn write_lines(
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
            "  … and {} more, which --report FILE lists",
            count - lines_max
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_and_merged_rows_are_listed_up_to_a_limit() {
        let mut report = Report::default();
        report.users.rows = 3;
        report.users.stored(false);
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
