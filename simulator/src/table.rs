//! Prints the report as text.

use std::io::{self, Write};

use crate::report::{CommandReport, Latency, Report, Verification, Window};

/// Maximum number of violations, and of error windows, that are printed in detail.
const DETAILS_MAX: usize = 20;

/// Writes the table, the errors, the verification and the result.
pub(crate) fn write(report: &Report, out: &mut impl Write) -> io::Result<()> {
    write_head(report, out)?;
    write_commands(report, out)?;
    if report.total.errors() > 0 {
        write_errors(report, out)?;
    }
    match &report.verification {
        Some(verification) => write_verification(verification, out)?,
        None => writeln!(out, "\nnot verified")?,
    }
    let result = match (report.passed(), report.total.errors()) {
        (true, 0) => "passed".to_owned(),
        (true, errors) => format!("passed, with {errors} errors allowed"),
        (false, errors) => {
            format!(
                "FAILED: {errors} errors, {} violations",
                report.violations()
            )
        }
    };
    writeln!(out, "\n{result}")
}

fn write_head(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let seed = report
        .seed
        .map(|seed| format!(", seed {seed}"))
        .unwrap_or_default();
    let stopped = if report.stopped {
        ", stopped early"
    } else {
        ""
    };
    writeln!(
        out,
        "{} against {}{seed}: {} of {} as expected in {:.1} s ({:.0}/s){stopped}\n",
        report.mode,
        report.url,
        report.total.ok,
        report.total.sent + report.total.not_sent,
        report.elapsed_seconds,
        report.ok_per_second,
    )
}

fn write_commands(report: &Report, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "{:<14} {:>8} {:>8} {:>6} {:>8} {:>10} {:>8}  {:>8} {:>8} {:>8} {:>8} {:>8}",
        "command",
        "sent",
        "ok",
        "wrong",
        "timeout",
        "connection",
        "not sent",
        "p50 ms",
        "p90",
        "p99",
        "p99.9",
        "max"
    )?;
    for command in report.commands.iter().chain([&report.total]) {
        write_command(command, out)?;
    }
    Ok(())
}

fn write_command(command: &CommandReport, out: &mut impl Write) -> io::Result<()> {
    write!(
        out,
        "{:<14} {:>8} {:>8} {:>6} {:>8} {:>10} {:>8} ",
        command.command,
        command.sent,
        command.ok,
        command.wrong(),
        command.timeouts,
        command.connection_errors,
        command.not_sent,
    )?;
    if let Some(Latency {
        p50_ms,
        p90_ms,
        p99_ms,
        p99_9_ms,
        max_ms,
    }) = command.latency
    {
        for value in [p50_ms, p90_ms, p99_ms, p99_9_ms, max_ms] {
            write!(out, " {value:>8.2}")?;
        }
    }
    writeln!(out)
}

fn write_errors(report: &Report, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "\nerrors: {} ({:.2} %)",
        report.total.errors(),
        report.total.error_percent()
    )?;
    for (cause, count) in &report.causes {
        writeln!(out, "  {count:>8} × {cause}")?;
    }
    for window in report.error_windows.iter().take(DETAILS_MAX) {
        writeln!(out, "  between {}: {} errors", span(window), window.errors)?;
    }
    if report.error_windows.len() > DETAILS_MAX {
        writeln!(
            out,
            "  and {} more time windows with errors",
            report.error_windows.len() - DETAILS_MAX
        )?;
    }
    let pause = &report.longest_pause;
    let seconds = pause.to_seconds - pause.from_seconds;
    writeln!(
        out,
        "  longest time without an expected response: {seconds:.3} s, between {}",
        span(pause)
    )
}

fn span(window: &Window) -> String {
    format!(
        "t={:.3} s and t={:.3} s",
        window.from_seconds, window.to_seconds
    )
}

fn write_verification(found: &Verification, out: &mut impl Write) -> io::Result<()> {
    let latest = found
        .latest
        .map_or_else(|| "unknown".to_owned(), |latest| latest.to_string());
    writeln!(
        out,
        "\nverified: {} users, {} messages, {} follows, latest {latest}, in {:.1} s",
        found.users, found.messages, found.follows, found.elapsed_seconds
    )?;
    for note in &found.notes {
        writeln!(out, "  note: {note}")?;
    }
    if found.violations.is_empty() {
        return writeln!(out, "  no write is lost, doubled or undone");
    }
    for violation in found.violations.iter().take(DETAILS_MAX) {
        writeln!(out, "  {}: {}", violation.kind.name(), violation.detail)?;
    }
    if found.violations.len() > DETAILS_MAX {
        writeln!(out, "  and {} more", found.violations.len() - DETAILS_MAX)?;
    }
    let mut by_kind: Vec<(&str, usize)> = Vec::new();
    for violation in &found.violations {
        let name = violation.kind.name();
        match by_kind.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += 1,
            None => by_kind.push((name, 1)),
        }
    }
    let summary: Vec<_> = by_kind
        .iter()
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    writeln!(
        out,
        "violations: {} ({})",
        found.violations.len(),
        summary.join(", ")
    )
}
