//! A run of the simulator. Each sampled request is connected with its SQL statements.

use std::collections::{HashMap, HashSet};

use test_sink::CollectedSpan;
use tokio::process::Command;

use crate::suite::Observed;

/// Graph of all spans. A span leads to its children and to the spans that it links to.
struct Graph<'a> {
    spans: HashMap<&'a str, &'a CollectedSpan>,
    leads_to: HashMap<&'a str, Vec<&'a str>>,
}

impl<'a> Graph<'a> {
    fn new(spans: &'a [CollectedSpan]) -> Self {
        let mut leads_to: HashMap<&str, Vec<&str>> = HashMap::new();
        for span in spans {
            leads_to.entry(&span.parent).or_default().push(&span.id);
            for (_, linked) in &span.links {
                leads_to.entry(&span.id).or_default().push(linked);
            }
        }
        Self {
            spans: spans.iter().map(|span| (span.id.as_str(), span)).collect(),
            leads_to,
        }
    }

    fn roots(&self) -> impl Iterator<Item = &&'a CollectedSpan> {
        self.spans.values().filter(|span| span.parent.is_empty())
    }

    /// Number of spans whose parent did not arrive or belongs to another trace.
    fn orphans(&self) -> usize {
        let of_trace = |parent: &str, trace: &str| {
            self.spans
                .get(parent)
                .is_some_and(|parent| parent.trace == trace)
        };
        self.spans
            .values()
            .filter(|span| !span.parent.is_empty() && !of_trace(&span.parent, &span.trace))
            .count()
    }

    fn reaches_a_statement(&self, root: &'a CollectedSpan) -> bool {
        let mut ahead = vec![root.id.as_str()];
        let mut seen = HashSet::new();
        while let Some(id) = ahead.pop() {
            if !seen.insert(id) {
                continue;
            }
            let Some(span) = self.spans.get(id) else {
                continue;
            };
            if !span.attribute("db.query.text").is_empty() {
                return true;
            }
            ahead.extend(self.leads_to.get(id).into_iter().flatten());
        }
        false
    }
}

#[tokio::test]
async fn every_request_of_a_simulation_is_one_connected_tree() {
    let suite = Observed::start("info").await;
    let api = format!("http://{}", suite.api);
    let simulated = Command::new(env!("CARGO_BIN_EXE_minitwit"))
        .args(["simulate", &api, "--rate", "200", "--for", "8s"])
        .args(["--reads", "30", "--timeout", "10s", "--quiet"])
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&simulated.stdout);
    assert!(simulated.status.success(), "{said}");
    let metrics = suite.metrics().await;
    let (_, sink) = suite.stop().await;

    let spans = sink.spans();
    let graph = Graph::new(&spans);
    assert_eq!(graph.orphans(), 0, "of {} spans", spans.len());
    let traces: HashSet<&str> = spans.iter().map(|span| span.trace.as_str()).collect();
    let roots: Vec<_> = graph.roots().collect();
    assert_eq!(traces.len(), roots.len(), "a trace has one root");
    assert_eq!(requests(&metrics), roots.len(), "every request has a trace");
    assert!(roots.len() > 1_000, "{} requests", roots.len());

    let connected = roots
        .iter()
        .filter(|root| graph.reaches_a_statement(root))
        .count();
    println!(
        "{} spans, {} traces, {connected} connected",
        spans.len(),
        roots.len()
    );
    assert!(
        connected * 1000 >= roots.len() * 999,
        "{connected} of {} lead to a statement",
        roots.len()
    );
    assert!(
        spans.iter().any(|span| !span.links.is_empty()),
        "some requests shared a batch"
    );
    let dropped = metrics
        .lines()
        .filter(|line| line.starts_with("minitwit_spans_dropped_total"));
    assert!(dropped.clone().count() > 0, "{metrics}");
    assert!(
        dropped.clone().all(|line| line.ends_with(" 0")),
        "{metrics}"
    );
}

/// Number of requests that the metrics counted.
fn requests(metrics: &str) -> usize {
    let counts = metrics
        .lines()
        .filter(|line| line.starts_with("http_server_request_duration_seconds_count"));
    counts
        .map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap())
        .sum()
}
