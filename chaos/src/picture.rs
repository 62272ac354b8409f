//! A [`Story`] drawn, in SVG that needs nothing but a font.

use std::fmt::Write as _;

use test_sink::CollectedSpan;

use crate::story::Story;

const WIDTH: f64 = 960.0;
const MARGIN: f64 = 24.0;
/// Where the bars of the spans begin, right of their names.
const BARS: f64 = 450.0;
const ROW: f64 = 20.0;
const HEADING: f64 = 40.0;
/// How many characters of small type fit into a line.
const CHARACTERS: usize = 120;

const INK: &str = "#1d2733";
const PALE: &str = "#5b6b7c";
const PAPER: &str = "#f4f6f9";
const GRID: &str = "#dfe5ec";
const ON_THE_WAY: &str = "#b3402e";
const BESIDE: &str = "#9fb8d3";

/// What of the gateway's line is shown.
const OF_THE_LINE: [&str; 8] = [
    "timestamp",
    "level",
    "message",
    "method",
    "route",
    "status",
    "seconds",
    "trace_id",
];

/// What of the last span is shown.
const OF_THE_END: [&str; 4] = [
    "db.query.summary",
    "db.query.text",
    "db.system.name",
    "error.type",
];

/// Draws the three steps, one below the other.
pub fn svg(story: &Story) -> String {
    let mut canvas = Canvas::default();
    canvas.heading("1", "The line: a request was slow");
    let shown = OF_THE_LINE
        .iter()
        .filter(|field| !story.line[**field].is_null())
        .map(|field| format!("\"{field}\": {}", story.line[*field]));
    let line = format!("{{{}}}", shown.collect::<Vec<_>>().join(", "));
    canvas.paper(&folded(&line), "trace_id");

    canvas.heading(
        "2",
        "The trace of that id: take the longest part, each time",
    );
    canvas.spans(story);

    canvas.heading("3", "The statement");
    let mut facts = Vec::new();
    if let Some(end) = story.end() {
        facts.push(format!("took                {:.0?}", end.duration()));
        for name in OF_THE_END {
            let words = end.attribute(name).split_whitespace().collect::<Vec<_>>();
            if !words.is_empty() {
                facts.extend(folded(&format!("{name:<20}{}", words.join(" "))));
            }
        }
    }
    let attempt = story
        .way
        .iter()
        .rev()
        .find(|span| !span.attribute("server.address").is_empty());
    if let Some(attempt) = attempt {
        let address = attempt.attribute("server.address");
        facts.push(format!("{:<20}{address}", "server.address"));
    }
    canvas.paper(&facts, "db.query.summary");
    canvas.finish()
}

/// A picture that grows downwards.
struct Canvas {
    body: String,
    y: f64,
}

impl Default for Canvas {
    fn default() -> Self {
        Self {
            body: String::new(),
            y: MARGIN / 2.0,
        }
    }
}

impl Canvas {
    // Writing to a string cannot fail, here and below.

    fn heading(&mut self, number: &str, words: &str) {
        self.y += HEADING;
        let (x, y) = (MARGIN + 12.0, self.y - 16.0);
        let _ = writeln!(
            self.body,
            r#"<circle cx="{x}" cy="{y}" r="12" fill="{ON_THE_WAY}"/>"#
        );
        self.text(x - 4.0, y + 5.0, "white", 14, number);
        self.text(x + 24.0, y + 5.0, INK, 16, words);
    }

    /// Lines of small type; the one with `key` in it stands out.
    fn paper(&mut self, lines: &[String], key: &str) {
        let height = count(lines.len()) * ROW + 12.0;
        self.rectangle(MARGIN, self.y, WIDTH - 2.0 * MARGIN, height, PAPER);
        for line in lines {
            self.y += ROW;
            let colour = if line.contains(key) { ON_THE_WAY } else { INK };
            self.text(MARGIN + 12.0, self.y, colour, 12, line);
        }
        self.y += 18.0;
    }

    fn spans(&mut self, story: &Story) {
        let began = story.spans.iter().map(|(_, span)| span.began).min();
        let ended = story.spans.iter().map(|(_, span)| span.ended).max();
        let (Some(began), Some(ended)) = (began, ended) else {
            return;
        };
        // Room for the scale.
        self.y += 14.0;
        let whole = millis(ended - began).max(1.0);
        let room = WIDTH - MARGIN - 60.0 - BARS;
        let (top, height) = (self.y, count(story.spans.len()) * ROW);
        for quarter in 0..=4 {
            let share = f64::from(quarter) / 4.0;
            let x = BARS + share * room;
            self.rectangle(x, top, 1.0, height + 4.0, GRID);
            let label = format!("{:.0} ms", share * whole);
            self.text(x + 3.0, top - 2.0, PALE, 10, &label);
        }
        for (depth, span) in &story.spans {
            self.y += ROW;
            let is_on_the_way = story.way.iter().any(|step| step.id == span.id);
            let (ink, colour) = if is_on_the_way {
                (INK, ON_THE_WAY)
            } else {
                (PALE, BESIDE)
            };
            let x = MARGIN + count(*depth) * 12.0;
            self.text(x, self.y, ink, 12, &name(span));
            let from = BARS + millis(span.began - began) / whole * room;
            let long = (millis(span.ended - span.began) / whole * room).max(2.0);
            self.rectangle(from, self.y - 11.0, long, 13.0, colour);
            let took = format!("{:.0} ms", millis(span.ended - span.began));
            self.text(from + long + 4.0, self.y, ink, 11, &took);
        }
        self.y += 20.0;
    }

    fn rectangle(&mut self, x: f64, y: f64, width: f64, height: f64, fill: &str) {
        let _ = writeln!(
            self.body,
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" rx="2" fill="{fill}"/>"#
        );
    }

    fn text(&mut self, x: f64, y: f64, fill: &str, size: u32, words: &str) {
        let family = if size < 14 { "m" } else { "s" };
        let _ = writeln!(
            self.body,
            r#"<text class="{family}" x="{x:.1}" y="{y:.1}" font-size="{size}" fill="{fill}" xml:space="preserve">{}</text>"#,
            escaped(words)
        );
    }

    fn finish(self) -> String {
        let height = self.y + MARGIN / 2.0;
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" aria-label="From a slow request to its statement, in three steps">
<style>
.m {{ font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace }}
.s {{ font-family: system-ui, "Segoe UI", Helvetica, Arial, sans-serif; font-weight: 600 }}
</style>
<rect width="100%" height="100%" fill="white"/>
{}</svg>
"#,
            self.body
        )
    }
}

/// What a span is called, without the package of an rpc.
fn name(span: &CollectedSpan) -> String {
    let name = span.name.rsplit('.').next().unwrap_or(&span.name);
    let name = if span.name.contains('/') && span.name.starts_with("minitwit.") {
        name
    } else {
        &span.name
    };
    let failed = if span.failed { " ✗" } else { "" };
    format!("{name}{failed}")
}

/// Cut into lines at spaces; what is longer than a line stays whole.
fn folded(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is a first line");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= CHARACTERS {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(format!("    {word}"));
        }
    }
    lines
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a picture shows no nanoseconds of a year"
)]
fn millis(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "few things are drawn")]
fn count(things: usize) -> f64 {
    things as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_at_spaces() {
        let text = "word ".repeat(40);
        let lines = folded(&text);
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| line.chars().count() <= CHARACTERS));
        assert_eq!(lines.join(" ").split_whitespace().count(), 40);
    }

    #[test]
    fn what_is_no_text_of_ours_is_escaped() {
        assert_eq!(escaped("a < b & c > d"), "a &lt; b &amp; c &gt; d");
    }
}
