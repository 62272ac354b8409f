//! The chart of a slow request with its log line, its trace, and its statement.

use serde_json::Value;
use test_sink::CollectedSpan;

use super::{Align, Canvas, Font, GRID, HIGHLIGHT, LABEL, MUTED, Style, TEXT, float};

const WIDTH: f64 = 960.0;
const MARGIN: f64 = 24.0;
/// Left end of the bars of the spans, right of their names.
const BARS: f64 = 450.0;
const ROW: f64 = 20.0;
const HEADING: f64 = 40.0;
/// Maximum number of characters in a line of small type.
const LINE_LENGTH_MAX: usize = 120;

const BACKGROUND: &str = "#f4f6f9";
const OTHER_SPAN: &str = "#9fb8d3";

/// Fields of the log line that are shown.
const LINE_FIELDS: [&str; 8] = [
    "timestamp",
    "level",
    "message",
    "method",
    "route",
    "status",
    "seconds",
    "trace_id",
];

/// Attributes of the last span that are shown.
const STATEMENT_ATTRIBUTES: [&str; 4] = [
    "db.query.summary",
    "db.query.text",
    "db.system.name",
    "error.type",
];

/// Draws the three steps from top to bottom.
pub(crate) fn svg(
    line: &Value,
    spans: &[(usize, CollectedSpan)],
    critical_path: &[CollectedSpan],
) -> String {
    let mut picture = Picture {
        canvas: Canvas::default(),
        y: MARGIN / 2.0,
    };
    picture.heading("1", "The line: a request was slow");
    let fields = LINE_FIELDS.iter().filter(|field| !line[**field].is_null());
    let fields = fields.map(|field| format!("\"{field}\": {}", line[*field]));
    let text = format!("{{{}}}", fields.collect::<Vec<_>>().join(", "));
    picture.lines(&wrap(&text), "trace_id");

    let heading = "The trace of that id: take the longest part, each time";
    picture.heading("2", heading);
    picture.spans(spans, critical_path);

    picture.heading("3", "The statement");
    picture.lines(&statement(critical_path), "db.query.summary");
    let height = picture.y + MARGIN / 2.0;
    let title = "From a slow request to its statement, in three steps";
    picture.canvas.finish([WIDTH, height], title)
}

fn statement(critical_path: &[CollectedSpan]) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(end) = critical_path.last() {
        lines.push(format!("{:<20}{:.0?}", "took", end.duration()));
        for name in STATEMENT_ATTRIBUTES {
            let words: Vec<_> = end.attribute(name).split_whitespace().collect();
            if !words.is_empty() {
                lines.extend(wrap(&format!("{name:<20}{}", words.join(" "))));
            }
        }
    }
    let addresses = critical_path
        .iter()
        .rev()
        .map(|span| span.attribute("server.address"));
    let address = addresses.into_iter().find(|address| !address.is_empty());
    lines.extend(address.map(|address| format!("{:<20}{address}", "server.address")));
    lines
}

/// A picture that grows downwards.
struct Picture {
    canvas: Canvas,
    y: f64,
}

impl Picture {
    fn heading(&mut self, number: &str, text: &str) {
        self.y += HEADING;
        let (x, y) = (MARGIN + 12.0, self.y - 16.0);
        self.canvas.circle([x, y], 12.0, HIGHLIGHT);
        let style = |size, colour| Style {
            font: Font::Bold,
            align: Align::Left,
            size,
            colour,
        };
        let canvas = &mut self.canvas;
        canvas.text([x - 4.0, y + 5.0], style(14, "white"), number);
        canvas.text([x + 24.0, y + 5.0], style(16, TEXT), text);
    }

    /// Lines of small type. A line that contains `key` is highlighted.
    fn lines(&mut self, lines: &[String], key: &str) {
        let size = [WIDTH - 2.0 * MARGIN, float(lines.len()) * ROW + 12.0];
        self.canvas.rectangle([MARGIN, self.y], size, BACKGROUND);
        for line in lines {
            self.y += ROW;
            let is_key = line.contains(key);
            let style = small(12, if is_key { HIGHLIGHT } else { TEXT });
            self.canvas.text([MARGIN + 12.0, self.y], style, line);
        }
        self.y += 18.0;
    }

    fn spans(&mut self, spans: &[(usize, CollectedSpan)], critical_path: &[CollectedSpan]) {
        let began = spans.iter().map(|(_, span)| span.began).min();
        let ended = spans.iter().map(|(_, span)| span.ended).max();
        let (Some(began), Some(ended)) = (began, ended) else {
            return;
        };
        // Space for the scale.
        self.y += 14.0;
        let total = millis(ended - began).max(1.0);
        let width = WIDTH - MARGIN - 60.0 - BARS;
        let height = float(spans.len()) * ROW + 4.0;
        for quarter in 0..=4 {
            let share = f64::from(quarter) / 4.0;
            let x = BARS + share * width;
            self.canvas.rectangle([x, self.y], [1.0, height], GRID);
            let label = format!("{:.0} ms", share * total);
            let position = [x + 3.0, self.y - 2.0];
            self.canvas.text(position, small(10, MUTED), &label);
        }
        for (depth, span) in spans {
            self.y += ROW;
            let is_critical = critical_path.iter().any(|step| step.id == span.id);
            let (text, colour) = if is_critical {
                (TEXT, HIGHLIGHT)
            } else {
                (MUTED, OTHER_SPAN)
            };
            let y = self.y;
            let canvas = &mut self.canvas;
            let x = MARGIN + float(*depth) * 12.0;
            canvas.text([x, y], small(12, text), &name(span));
            let x = BARS + millis(span.began - began) / total * width;
            let time = millis(span.ended - span.began);
            let length = (time / total * width).max(2.0);
            canvas.rectangle([x, y - 11.0], [length, 13.0], colour);
            let label = format!("{time:.0} ms");
            canvas.text([x + length + 4.0, y], small(11, text), &label);
        }
        self.y += 20.0;
    }
}

fn small(size: u32, colour: &'static str) -> Style {
    Style {
        font: Font::Mono,
        size,
        colour,
        ..LABEL
    }
}

/// Returns the name of a span, without the package of an rpc.
fn name(span: &CollectedSpan) -> String {
    let is_rpc = span.name.contains('/') && span.name.starts_with("minitwit.");
    let name = match span.name.rsplit_once('.') {
        Some((_, name)) if is_rpc => name,
        _ => &span.name,
    };
    let failed = if span.failed { " ✗" } else { "" };
    format!("{name}{failed}")
}

/// Cuts a text into lines at spaces. A word that is longer than a line is not cut.
fn wrap(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= LINE_LENGTH_MAX {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(line);
            line = format!("    {word}");
        }
    }
    lines.push(line);
    lines
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a chart shows fractions of a millisecond"
)]
fn millis(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_at_spaces() {
        let text = "word ".repeat(40);
        let lines = wrap(&text);
        assert_eq!(lines.len(), 2);
        assert!(
            lines
                .iter()
                .all(|line| line.chars().count() <= LINE_LENGTH_MAX)
        );
        assert_eq!(lines.join(" ").split_whitespace().count(), 40);
    }
}
