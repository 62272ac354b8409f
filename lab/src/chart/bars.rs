//! A horizontal bar chart of ratios with their intervals.

use super::{Align, Canvas, Font, GRID, HIGHLIGHT, LABEL, MUTED, Style, TEXT, float};

const WIDTH: f64 = 760.0;
/// Left end of the bars, right of the names.
const LEFT: f64 = 160.0;
/// Space for the number right of the longest bar.
const RIGHT: f64 = 70.0;
const TOP: f64 = 92.0;
const BOTTOM: f64 = 40.0;
const BAR_HEIGHT: f64 = 18.0;
const BAR_GAP: f64 = 3.0;
const GROUP_GAP: f64 = 16.0;

/// A colour for each series.
const COLOURS: [&str; 4] = ["#1f5fa8", "#6ba3dc", "#b9d3ee", "#dde9f6"];

/// Content of a bar chart.
#[derive(Debug)]
pub(crate) struct BarChart {
    pub(crate) title: String,
    pub(crate) subtitle: String,
    /// Label of the line at 1.
    pub(crate) reference: String,
    /// Names of the series.
    pub(crate) series: Vec<String>,
    pub(crate) groups: Vec<Group>,
}

/// The bars of one kind of request, one for each series.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) bars: Vec<Bar>,
}

/// One bar.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bar {
    /// Index of the bar's series.
    pub(crate) series: usize,
    pub(crate) value: f64,
    pub(crate) interval: Option<[f64; 2]>,
}

impl BarChart {
    /// Draws the chart.
    pub(crate) fn svg(&self) -> String {
        let bars = self.groups.iter().flat_map(|group| &group.bars);
        let ends = bars.map(|bar| bar.interval.map_or(bar.value, |[_, upper]| upper));
        let scale = Scale::up_to(ends.fold(1.0, f64::max));
        let bars = self.groups.iter().map(Group::height).sum::<f64>();
        let bottom = TOP + bars - GROUP_GAP + 8.0;
        let mut canvas = Canvas::default();
        self.heading(&mut canvas);
        self.grid(&mut canvas, &scale, bottom);
        let mut top = TOP;
        for group in &self.groups {
            group.draw(&mut canvas, &scale, top);
            top += group.height();
        }
        canvas.finish([WIDTH, bottom + BOTTOM], &self.title)
    }

    fn heading(&self, canvas: &mut Canvas) {
        let title = Style {
            font: Font::Bold,
            size: 17,
            ..LABEL
        };
        let subtitle = Style {
            colour: MUTED,
            ..LABEL
        };
        canvas.text([20.0, 30.0], title, &self.title);
        canvas.text([20.0, 50.0], subtitle, &self.subtitle);
        let mut x = 20.0;
        for (name, colour) in self.series.iter().zip(COLOURS) {
            canvas.rectangle([x, 62.0], [12.0, 12.0], colour);
            canvas.text([x + 18.0, 72.5], LABEL, name);
            x += 135.0;
        }
    }

    fn grid(&self, canvas: &mut Canvas, scale: &Scale, bottom: f64) {
        let style = |colour| Style {
            align: Align::Middle,
            colour,
            ..LABEL
        };
        let mut ratio = 0.0;
        while ratio <= scale.end + scale.step / 2.0 {
            let x = scale.x(ratio);
            canvas.line([x, TOP - 8.0], [x, bottom], GRID, false);
            canvas.text([x, bottom + 17.0], style(MUTED), &format!("{ratio}×"));
            ratio += scale.step;
        }
        let x = scale.x(1.0);
        canvas.line([x, TOP - 8.0], [x, bottom], HIGHLIGHT, true);
        canvas.text([x, bottom + 32.0], style(HIGHLIGHT), &self.reference);
    }
}

impl Group {
    fn height(&self) -> f64 {
        float(self.bars.len()) * (BAR_HEIGHT + BAR_GAP) - BAR_GAP + GROUP_GAP
    }

    fn draw(&self, canvas: &mut Canvas, scale: &Scale, top: f64) {
        let right = Style {
            align: Align::Right,
            ..LABEL
        };
        let middle = top + (self.height() - GROUP_GAP) / 2.0;
        canvas.text([LEFT - 10.0, middle + 4.5], right, &self.name);
        for (index, bar) in self.bars.iter().enumerate() {
            let y = top + float(index) * (BAR_HEIGHT + BAR_GAP);
            let colour = COLOURS[bar.series.min(COLOURS.len() - 1)];
            let mut end = scale.x(bar.value);
            canvas.rectangle([LEFT, y], [end - LEFT, BAR_HEIGHT], colour);
            if let Some([lower, upper]) = bar.interval {
                let (y, from, to) = (y + BAR_HEIGHT / 2.0, scale.x(lower), scale.x(upper));
                canvas.line([from, y], [to, y], TEXT, false);
                for x in [from, to] {
                    canvas.line([x, y - 4.0], [x, y + 4.0], TEXT, false);
                }
                end = end.max(to);
            }
            let label = format!("{:.1}×", bar.value);
            canvas.text([end + 6.0, y + BAR_HEIGHT / 2.0 + 4.5], LABEL, &label);
        }
    }
}

/// Conversion of ratios to horizontal positions.
struct Scale {
    end: f64,
    step: f64,
}

impl Scale {
    fn up_to(greatest: f64) -> Self {
        let steps = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0];
        let step = steps.into_iter().find(|step| greatest / step <= 8.0);
        let step = step.unwrap_or(100.0);
        Self {
            end: (greatest / step).ceil() * step,
            step,
        }
    }

    fn x(&self, ratio: f64) -> f64 {
        LEFT + ratio / self.end * (WIDTH - LEFT - RIGHT)
    }
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

    #[test]
    fn an_interval_is_drawn_over_its_bar() {
        let bar = Bar {
            series: 0,
            value: 2.0,
            interval: Some([1.5, 2.5]),
        };
        let group = Group {
            name: "GET /msgs/<user>".to_owned(),
            bars: vec![bar],
        };
        let chart = BarChart {
            title: "Requests".to_owned(),
            subtitle: String::new(),
            reference: "monolith".to_owned(),
            series: vec!["64 connections".to_owned()],
            groups: vec![group],
        };
        let svg = chart.svg();
        assert!(svg.contains("GET /msgs/&lt;user&gt;"), "{svg}");
        assert!(svg.contains("2.0×"), "{svg}");
        assert_eq!(svg.matches(&format!("stroke=\"{TEXT}\"")).count(), 3);
    }
}
