//! Charts in SVG, which need no file but the fonts of the reader.

pub(crate) mod bars;
pub(crate) mod trace;

use std::fmt::Write as _;

const TEXT: &str = "#1d2733";
const MUTED: &str = "#5b6b7c";
const GRID: &str = "#dfe5ec";
const HIGHLIGHT: &str = "#b3402e";

/// A font of the text in a chart.
#[derive(Clone, Copy, Debug)]
enum Font {
    Sans,
    Bold,
    Mono,
}

/// Horizontal alignment of a text at its position.
#[derive(Clone, Copy, Debug)]
enum Align {
    Left,
    Middle,
    Right,
}

/// Style of a text.
#[derive(Clone, Copy, Debug)]
struct Style {
    font: Font,
    align: Align,
    size: u32,
    colour: &'static str,
}

const LABEL: Style = Style {
    font: Font::Sans,
    align: Align::Left,
    size: 13,
    colour: TEXT,
};

/// A picture that shapes are added to.
#[derive(Debug, Default)]
struct Canvas {
    shapes: String,
}

impl Canvas {
    // Writing to a string cannot fail, so the results of `writeln!` are ignored.

    fn rectangle(&mut self, [x, y]: [f64; 2], [width, height]: [f64; 2], colour: &str) {
        let _ = writeln!(
            self.shapes,
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" rx="2" fill="{colour}"/>"#
        );
    }

    fn circle(&mut self, [x, y]: [f64; 2], radius: f64, colour: &str) {
        let _ = writeln!(
            self.shapes,
            r#"<circle cx="{x:.1}" cy="{y:.1}" r="{radius}" fill="{colour}"/>"#
        );
    }

    fn line(&mut self, [x1, y1]: [f64; 2], [x2, y2]: [f64; 2], colour: &str, is_dashed: bool) {
        let dashes = if is_dashed {
            r#" stroke-dasharray="4 3""#
        } else {
            ""
        };
        let _ = writeln!(
            self.shapes,
            r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" stroke="{colour}"{dashes}/>"#
        );
    }

    fn text(&mut self, [x, y]: [f64; 2], style: Style, text: &str) {
        let class = match style.font {
            Font::Sans => "s",
            Font::Bold => "b",
            Font::Mono => "m",
        };
        let anchor = match style.align {
            Align::Left => "start",
            Align::Middle => "middle",
            Align::Right => "end",
        };
        let (size, colour, text) = (style.size, style.colour, escape(text));
        let _ = writeln!(
            self.shapes,
            r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" font-size="{size}" fill="{colour}" xml:space="preserve">{text}</text>"#
        );
    }

    /// Returns the whole picture with a title for screen readers.
    fn finish(self, [width, height]: [f64; 2], title: &str) -> String {
        format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-label="{}">
<style>
.m {{ font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace }}
.s, .b {{ font-family: system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif }}
.b {{ font-weight: 600 }}
</style>
<rect width="100%" height="100%" rx="6" fill="#ffffff"/>
{}</svg>
"##,
            escape(title),
            self.shapes
        )
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// Converts a small number for the calculation of positions.
#[expect(clippy::cast_precision_loss, reason = "a chart shows few shapes")]
fn float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped() {
        assert_eq!(escape("a < b & c > d"), "a &lt; b &amp; c &gt; d");
    }
}
