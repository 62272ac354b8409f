//! The way from a slow request to its slow statement in three steps, as an operator takes it.

use std::{collections::HashSet, time::Duration};

use anyhow::Context as _;
use serde_json::Value;
use test_sink::{CollectedSpan, Sink};

/// Message of the gateway's log line about a request.
const MESSAGE: &str = "a request was answered";

/// Least response time of a slow request.
const SLOW: Duration = Duration::from_millis(200);

/// A slow request with its trace.
#[derive(Clone, Debug)]
pub(super) struct SlowRequestTrace {
    /// Step 1 is the log line of the gateway.
    pub(super) line: Value,
    /// Step 2 is the spans of the trace with their depth, children after their parent.
    pub(super) spans: Vec<(usize, CollectedSpan)>,
    /// Step 3 is the request's span, its longest child, the longest child of that, and so on.
    pub(super) critical_path: Vec<CollectedSpan>,
}

impl SlowRequestTrace {
    /// Finds the slow requests of a route in a gateway's log whose traces the collector has.
    pub(super) fn find(log: &str, route: &str, sink: &Sink) -> Vec<Self> {
        let lines = log.lines().filter_map(|line| parse(line, route));
        let trace = |line: Value| {
            let spans = sink.spans_of_trace(line["trace_id"].as_str()?);
            Self::new(line, &spans).ok()
        };
        lines.filter_map(trace).collect()
    }

    fn new(line: Value, spans: &[CollectedSpan]) -> anyhow::Result<Self> {
        let ids: HashSet<&str> = spans.iter().map(|span| span.id.as_str()).collect();
        let is_root = |span: &&CollectedSpan| !ids.contains(span.parent.as_str());
        let root = spans.iter().find(is_root);
        let root = root.context("the trace has no span without a parent")?;
        let mut critical_path = vec![root.clone()];
        let mut last = root;
        while let Some(longest) = children(spans, last).max_by_key(|child| child.duration()) {
            critical_path.push(longest.clone());
            last = longest;
        }
        let mut sorted = Vec::new();
        sort(spans, root, 0, &mut sorted);
        Ok(Self {
            line,
            spans: sorted,
            critical_path,
        })
    }

    /// Time of the statement at the end of the critical path. `None` if the path ends elsewhere, or if the
    /// statement began only after the response.
    pub(super) fn statement_time(&self) -> Option<Duration> {
        let (request, end) = (self.critical_path.first()?, self.critical_path.last()?);
        let is_statement = !end.attribute("db.query.text").is_empty();
        (is_statement && end.began < request.ended).then(|| end.duration())
    }
}

/// Parses a log line about a slow request of a route.
fn parse(line: &str, route: &str) -> Option<Value> {
    let line: Value = serde_json::from_str(line).ok()?;
    let is_slow = line["seconds"].as_f64()? > SLOW.as_secs_f64();
    (line["message"] == MESSAGE && line["route"] == route && is_slow).then_some(line)
}

fn children<'a>(
    spans: &'a [CollectedSpan],
    of: &CollectedSpan,
) -> impl Iterator<Item = &'a CollectedSpan> {
    let parent = of.id.clone();
    spans.iter().filter(move |span| span.parent == parent)
}

fn sort(
    spans: &[CollectedSpan],
    span: &CollectedSpan,
    depth: usize,
    sorted: &mut Vec<(usize, CollectedSpan)>,
) {
    sorted.push((depth, span.clone()));
    let mut children: Vec<_> = children(spans, span).collect();
    children.sort_by_key(|child| child.began);
    for child in children {
        sort(spans, child, depth + 1, sorted);
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
    fn the_critical_path_takes_the_longest_child_each_time() {
        let mut statement = span("statement", "late", 25, 90);
        let text = ("db.query.text".to_owned(), "SELECT 1".to_owned());
        statement.attributes.extend([text]);
        let spans = [
            statement,
            span("late", "request", 20, 95),
            span("quick", "request", 5, 10),
            span("child of quick", "quick", 6, 9),
            span("request", "edge", 0, 100),
        ];
        let trace = SlowRequestTrace::new(json!({}), &spans).unwrap();
        let path: Vec<&str> = trace
            .critical_path
            .iter()
            .map(|span| span.name.as_str())
            .collect();
        assert_eq!(path, ["request", "late", "statement"]);
        assert_eq!(trace.statement_time(), Some(Duration::from_nanos(65)));
        let sorted: Vec<_> = trace
            .spans
            .iter()
            .map(|(depth, span)| (*depth, span.name.as_str()))
            .collect();
        assert_eq!(
            sorted,
            [
                (0, "request"),
                (1, "quick"),
                (2, "child of quick"),
                (1, "late"),
                (2, "statement")
            ]
        );
    }

    #[test]
    fn only_lines_about_slow_requests_of_the_route_are_parsed() {
        let line = |seconds: f64, route: &str| {
            json!({"message": MESSAGE, "seconds": seconds, "route": route}).to_string()
        };
        assert!(parse(&line(0.25, "/msgs"), "/msgs").is_some());
        assert!(parse(&line(0.15, "/msgs"), "/msgs").is_none());
        assert!(parse(&line(0.25, "/latest"), "/msgs").is_none());
        assert!(parse("no JSON", "/msgs").is_none());
    }
}
