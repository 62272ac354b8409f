//! From "a request was slow" to the statement that was slow, in three steps, as an operator goes them.

use std::{collections::HashSet, time::Duration};

use anyhow::Context as _;
use serde_json::Value;
use test_sink::{CollectedSpan, Sink};

/// What the gateway calls its line about a request.
const LINE: &str = "a request was answered";

/// A request that took longer is a slow one.
const SLOW: Duration = Duration::from_millis(200);

/// One slow request, and what it led to.
#[derive(Clone, Debug)]
pub struct Story {
    /// Step 1: the gateway's line.
    pub line: Value,
    /// Step 2: the spans of its trace, parts behind what they are a part of, each with its depth.
    pub spans: Vec<(usize, CollectedSpan)>,
    /// Step 3: from the request's span on always the longest part, to the end.
    pub way: Vec<CollectedSpan>,
}

impl Story {
    /// Where the way ends.
    pub fn end(&self) -> Option<&CollectedSpan> {
        self.way.last()
    }

    /// How long the statement took at which it ends; `None` when it ends elsewhere, or when the
    /// statement began only after the answer.
    pub fn statement_took(&self) -> Option<Duration> {
        let (request, end) = (self.way.first()?, self.way.last()?);
        let is_statement = !end.attribute("db.query.text").is_empty();
        (is_statement && end.began < request.ended).then(|| end.duration())
    }
}

/// The slow requests of a route among a gateway's lines whose traces are in the collector.
pub fn of_slow_requests(lines: &str, route: &str, sink: &Sink) -> Vec<Story> {
    let lines = lines.lines().filter_map(|line| read(line, route));
    lines
        .filter_map(|line| {
            let spans = sink.spans_of_trace(line["trace_id"].as_str()?);
            tell(line, &spans).ok()
        })
        .collect()
}

/// A line about a slow request of that route.
fn read(line: &str, route: &str) -> Option<Value> {
    let line: Value = serde_json::from_str(line).ok()?;
    let is_slow = line["seconds"].as_f64()? > SLOW.as_secs_f64();
    (line["message"] == LINE && line["route"] == route && is_slow).then_some(line)
}

fn tell(line: Value, spans: &[CollectedSpan]) -> anyhow::Result<Story> {
    let ids: HashSet<&str> = spans.iter().map(|span| span.id.as_str()).collect();
    let root = spans
        .iter()
        .find(|span| !ids.contains(span.parent.as_str()))
        .context("a trace begins with a request")?;
    let mut way = vec![root.clone()];
    while let Some(longest) = parts(spans, &way[way.len() - 1]).max_by_key(|part| part.duration()) {
        way.push(longest.clone());
    }
    let mut in_order = Vec::new();
    put_in_order(spans, root, 0, &mut in_order);
    Ok(Story {
        line,
        spans: in_order,
        way,
    })
}

fn parts<'a>(
    spans: &'a [CollectedSpan],
    of: &CollectedSpan,
) -> impl Iterator<Item = &'a CollectedSpan> {
    let parent = of.id.clone();
    spans.iter().filter(move |span| span.parent == parent)
}

fn put_in_order(
    spans: &[CollectedSpan],
    span: &CollectedSpan,
    depth: usize,
    in_order: &mut Vec<(usize, CollectedSpan)>,
) {
    in_order.push((depth, span.clone()));
    let mut parts: Vec<_> = parts(spans, span).collect();
    parts.sort_by_key(|part| part.began);
    for part in parts {
        put_in_order(spans, part, depth + 1, in_order);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    fn span(id: &str, parent: &str, began: u64, ended: u64) -> CollectedSpan {
        CollectedSpan {
            trace: "t".to_owned(),
            id: id.to_owned(),
            parent: parent.to_owned(),
            name: id.to_owned(),
            service: String::new(),
            began,
            ended,
            attributes: BTreeMap::new(),
            links: Vec::new(),
            failed: false,
        }
    }

    #[test]
    fn the_way_takes_the_longest_part_each_time() {
        let mut statement = span("statement", "late", 25, 90);
        let text = ("db.query.text".to_owned(), "SELECT 1".to_owned());
        statement.attributes.extend([text]);
        let spans = [
            statement,
            span("late", "request", 20, 95),
            span("quick", "request", 5, 10),
            span("quick's", "quick", 6, 9),
            span("request", "edge", 0, 100),
        ];
        let story = tell(json!({}), &spans).unwrap();
        let names = |spans: &[CollectedSpan]| -> Vec<String> {
            spans.iter().map(|span| span.name.clone()).collect()
        };
        assert_eq!(names(&story.way), ["request", "late", "statement"]);
        assert_eq!(story.statement_took(), Some(Duration::from_nanos(65)));
        let in_order: Vec<_> = story
            .spans
            .iter()
            .map(|(depth, span)| (*depth, span.name.as_str()))
            .collect();
        assert_eq!(
            in_order,
            [
                (0, "request"),
                (1, "quick"),
                (2, "quick's"),
                (1, "late"),
                (2, "statement")
            ]
        );
    }

    #[test]
    fn only_lines_about_slow_requests_of_the_route_are_read() {
        let line = |seconds: f64, route: &str| {
            json!({"message": LINE, "seconds": seconds, "route": route}).to_string()
        };
        assert!(read(&line(0.25, "/msgs"), "/msgs").is_some());
        assert!(read(&line(0.15, "/msgs"), "/msgs").is_none());
        assert!(read(&line(0.25, "/latest"), "/msgs").is_none());
        assert!(read("no JSON", "/msgs").is_none());
    }
}
