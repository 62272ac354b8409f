//! The ratios as a bar chart, in SVG that needs nothing but a font.

use std::fmt::Write as _;

use super::{
    report::{Report, Row},
    wrk::Kind,
};

const WIDTH: f64 = 760.0;
/// Where the bars begin, right of the names.
const LEFT: f64 = 160.0;
/// Room for the number behind the longest bar.
const RIGHT: f64 = 70.0;
const TOP: f64 = 92.0;
const BOTTOM: f64 = 40.0;
const BAR: f64 = 18.0;
const BAR_GAP: f64 = 3.0;
const GROUP_GAP: f64 = 16.0;

/// One colour per number of connections, the most connections first.
const COLOURS: [&str; 4] = ["#1f5fa8", "#6ba3dc", "#b9d3ee", "#dde9f6"];

const INK: &str = "#1d2733";
const PALE: &str = "#5b6b7c";
const GRID: &str = "#dfe5ec";

/// Draws how many times as many requests the suite serves, for the rows with a `latest` or, where
/// there is none of them, for those without.
pub(crate) fn svg(report: &Report) -> String {
    let with_latest = report.rows.iter().any(|row| row.load.with_latest);
    let wanted = |row: &&Row| row.load.with_latest == with_latest;
    let rows: Vec<&Row> = report.rows.iter().filter(wanted).collect();
    let mut kinds: Vec<Kind> = rows.iter().map(|row| row.load.kind).collect();
    kinds.dedup();
    let mut connections: Vec<u32> = rows.iter().map(|row| row.load.connections).collect();
    connections.sort_unstable_by(|a, b| b.cmp(a));
    connections.dedup();

    let greatest = rows
        .iter()
        .map(|row| row.ratio().median)
        .fold(1.0, f64::max);
    let scale = Scale::up_to(greatest);
    let mut bars = String::new();
    let mut top = TOP;
    for kind in kinds {
        let group: Vec<_> = rows.iter().filter(|row| row.load.kind == kind).collect();
        let height = steps(group.len()) * (BAR + BAR_GAP) - BAR_GAP;
        text(
            &mut bars,
            LEFT - 10.0,
            top + height / 2.0 + 4.5,
            "end",
            INK,
            kind.title(),
        );
        for (place, row) in group.into_iter().enumerate() {
            let colour = connections
                .iter()
                .position(|count| *count == row.load.connections);
            let y = top + steps(place) * (BAR + BAR_GAP);
            bar(
                &mut bars,
                &scale,
                y,
                colour.unwrap_or_default(),
                row.ratio().median,
            );
        }
        top += height + GROUP_GAP;
    }
    let bottom = top - GROUP_GAP + 8.0;
    let mut picture = frame(report, with_latest, bottom + BOTTOM);
    legend(&mut picture, &connections);
    grid(&mut picture, &scale, bottom, report.against.short());
    picture.push_str(&bars);
    picture.push_str("</svg>\n");
    picture
}

/// From ratios to places on the picture.
struct Scale {
    end: f64,
    step: f64,
}

impl Scale {
    fn up_to(greatest: f64) -> Self {
        let steps = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0];
        let step = steps
            .into_iter()
            .find(|step| greatest / step <= 8.0)
            .unwrap_or(100.0);
        Self {
            end: (greatest / step).ceil() * step,
            step,
        }
    }

    fn x(&self, ratio: f64) -> f64 {
        LEFT + ratio / self.end * (WIDTH - LEFT - RIGHT)
    }
}

fn frame(report: &Report, with_latest: bool, height: f64) -> String {
    let title = format!(
        "Requests per second, as a multiple of those of {}",
        report.against.name().replace('`', "")
    );
    let latest = if with_latest {
        "every request moves a durable “latest”"
    } else {
        "no request moves “latest”"
    };
    let database = match report.engine {
        super::Engine::Postgres => "both on the same PostgreSQL",
        super::Engine::Sqlite => "the suite in one process on SQLite, the monolith on PostgreSQL",
    };
    let mut picture = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" role=\"img\" aria-label=\"{title}\" \
         font-family=\"system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif\" \
         font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"#ffffff\"/>\n\
         <text x=\"20\" y=\"30\" font-size=\"17\" font-weight=\"600\" fill=\"{INK}\">{title}</text>\n"
    );
    text(
        &mut picture,
        20.0,
        50.0,
        "start",
        PALE,
        &format!("{database}; {latest}"),
    );
    picture
}

fn legend(picture: &mut String, connections: &[u32]) {
    let mut left = 20.0;
    for (count, colour) in connections.iter().zip(COLOURS) {
        writeln!(
            picture,
            "<rect x=\"{left}\" y=\"62\" width=\"12\" height=\"12\" rx=\"2\" fill=\"{colour}\"/>"
        )
        .expect("a string takes all");
        let noun = if *count == 1 {
            "connection"
        } else {
            "connections"
        };
        text(
            picture,
            left + 18.0,
            72.5,
            "start",
            INK,
            &format!("{count} {noun}"),
        );
        left += 135.0;
    }
}

fn grid(picture: &mut String, scale: &Scale, bottom: f64, other: &str) {
    let mut ratio = 0.0;
    while ratio <= scale.end + scale.step / 2.0 {
        line(picture, scale.x(ratio), bottom, GRID, "");
        text(
            picture,
            scale.x(ratio),
            bottom + 17.0,
            "middle",
            PALE,
            &format!("{ratio}×"),
        );
        ratio += scale.step;
    }
    line(
        picture,
        scale.x(1.0),
        bottom,
        "#c0392b",
        " stroke-dasharray=\"4 3\"",
    );
    text(
        picture,
        scale.x(1.0),
        bottom + 32.0,
        "middle",
        "#c0392b",
        other,
    );
}

fn line(picture: &mut String, x: f64, bottom: f64, colour: &str, style: &str) {
    let top = TOP - 8.0;
    writeln!(
        picture,
        "<line x1=\"{x:.1}\" y1=\"{top}\" x2=\"{x:.1}\" y2=\"{bottom}\" stroke=\"{colour}\"{style}/>"
    )
    .expect("a string takes all");
}

fn bar(picture: &mut String, scale: &Scale, y: f64, colour: usize, ratio: f64) {
    let colour = COLOURS[colour.min(COLOURS.len() - 1)];
    let width = scale.x(ratio) - LEFT;
    writeln!(
        picture,
        "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR}\" rx=\"2\" \
         fill=\"{colour}\"/>"
    )
    .expect("a string takes all");
    let label = format!("{ratio:.1}×");
    text(
        picture,
        LEFT + width + 6.0,
        y + BAR / 2.0 + 4.5,
        "start",
        INK,
        &label,
    );
}

fn text(picture: &mut String, x: f64, y: f64, anchor: &str, colour: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    writeln!(
        picture,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{words}</text>"
    )
    .expect("a string takes all");
}

#[expect(clippy::cast_precision_loss, reason = "there are a handful")]
fn steps(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_is_within_the_grid() {
        for greatest in [1.0, 3.9, 12.4, 47.0, 130.0] {
            let scale = Scale::up_to(greatest);
            assert!(scale.x(greatest) <= WIDTH - RIGHT + 1e-9, "{greatest}");
            assert!(scale.end / scale.step <= 8.0 + 1e-9, "{greatest}");
        }
    }
}
