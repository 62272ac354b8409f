//! Service level objective of the simulator's API, 99.9 % good answers, and its error budget.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

/// Number of bad answers per thousand that the objective allows.
const BAD_PER_THOUSAND_MAX: f64 = 1.0;

/// Maximum duration of a good answer. The simulator waits no longer.
const GOOD_ANSWER_MAX: Duration = Duration::from_millis(300);

/// Timeout of the query to Prometheus.
const QUERY_TIMEOUT: Duration = Duration::from_millis(500);

/// Maximum size of a response of Prometheus, in bytes.
const QUERY_RESPONSE_BYTES_MAX: usize = 64 * 1024;

/// Query for the remaining share of the error budget of 30 days, as the recording rules store it.
const QUERY: &str = "/api/v1/query?query=slo%3Aerror_budget%3Aremaining";

/// Counters of the API's answers since the start of one gateway.
#[derive(Debug, Default)]
pub(crate) struct AnswerCounters {
    answers: AtomicU64,
    bad: AtomicU64,
}

impl AnswerCounters {
    /// Counts an answer of the API.
    pub(crate) fn count(&self, server_error: bool, took: Duration) {
        self.answers.fetch_add(1, Relaxed);
        if server_error || took > GOOD_ANSWER_MAX {
            self.bad.fetch_add(1, Relaxed);
        }
    }

    /// Current numbers of answers.
    pub(crate) fn counts(&self) -> AnswerCounts {
        AnswerCounts {
            bad: self.bad.load(Relaxed),
            answers: self.answers.load(Relaxed),
        }
    }
}

/// Numbers of answers of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AnswerCounts {
    /// All answers.
    pub(crate) answers: u64,
    /// Answers with a server error, and answers that came too late.
    pub(crate) bad: u64,
}

impl AnswerCounts {
    /// Remaining share of the error budget, or `None` without answers. The share is negative if the budget
    /// is exceeded.
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    pub(crate) fn remaining_budget(self) -> Option<f64> {
        let allowed = self.answers as f64 * BAD_PER_THOUSAND_MAX / 1000.0;
        (self.answers > 0).then(|| 1.0 - self.bad as f64 / allowed)
    }
}

/// Remaining share of the error budget of 30 days, from Prometheus, or `None` without Prometheus, or if the
/// query fails.
pub(crate) async fn recorded_budget(prometheus: Option<&Uri>) -> Option<f64> {
    let queried = timeout(QUERY_TIMEOUT, query(prometheus?)).await;
    let remaining = queried.unwrap_or_else(|_| Err(anyhow::anyhow!("no response in time")));
    remaining
        .inspect_err(|error| tracing::debug!("cannot read the error budget: {error:#}"))
        .ok()
}

async fn query(prometheus: &Uri) -> anyhow::Result<f64> {
    let host = prometheus.host().context("PROMETHEUS_URL names no host")?;
    let port = prometheus.port_u16().unwrap_or(80);
    let stream = TcpStream::connect((host, port)).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let path = prometheus.path().trim_end_matches('/');
    let request = Request::get(format!("{path}{QUERY}"))
        .header(header::HOST, host)
        .body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    ensure!(response.status().is_success(), "{}", response.status());
    let body = Limited::new(response.into_body(), QUERY_RESPONSE_BYTES_MAX);
    let body = body.collect().await.map_err(anyhow::Error::from_boxed)?;
    connection.abort();
    value(&body.to_bytes())
}

/// Reads the value in a response of Prometheus' HTTP API.
fn value(body: &[u8]) -> anyhow::Result<f64> {
    let response: serde_json::Value = serde_json::from_slice(body)?;
    let value = &response["data"]["result"][0]["value"][1];
    let value = value.as_str().context("no value is recorded yet")?;
    Ok(value.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_answer_of_two_thousand_uses_half_of_the_budget() {
        let counts = AnswerCounts {
            answers: 2_000,
            bad: 1,
        };
        assert_eq!(counts.remaining_budget(), Some(0.5));
        let no_answers = AnswerCounts { answers: 0, bad: 0 };
        assert_eq!(no_answers.remaining_budget(), None);
    }

    #[test]
    fn each_gateway_counts_its_own_answers() {
        let (first, second) = (AnswerCounters::default(), AnswerCounters::default());
        first.count(false, Duration::from_millis(10));
        first.count(true, Duration::from_millis(10));
        first.count(false, Duration::from_secs(1));
        let expected = AnswerCounts { answers: 3, bad: 2 };
        assert_eq!(first.counts(), expected);
        let no_answers = AnswerCounts { answers: 0, bad: 0 };
        assert_eq!(second.counts(), no_answers);
    }

    #[test]
    fn the_value_of_prometheus_is_read() {
        let response = br#"{"status":"success","data":{"resultType":"vector",
            "result":[{"metric":{},"value":[1700000000.0,"0.75"]}]}}"#;
        assert!((value(response).unwrap() - 0.75).abs() < 1e-9);
        assert!(value(br#"{"status":"success","data":{"result":[]}}"#).is_err());
    }
}
