//! The promise to the simulator, 99.9 % good answers, and what is left of the room it leaves.

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

/// So many of a thousand answers may be bad.
const BAD_PER_THOUSAND: f64 = 1.0;

/// The simulator waits so long; what comes later is not good.
const GOOD_WITHIN: Duration = Duration::from_millis(300);

/// How long a page waits for Prometheus.
const PATIENCE: Duration = Duration::from_millis(500);

/// More than this is no answer to what was asked.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What is left of 30 days' budget, as the rules record it.
const QUERY: &str = "/api/v1/query?query=slo%3Aerror_budget%3Aremaining";

static ANSWERS: AtomicU64 = AtomicU64::new(0);
static BAD: AtomicU64 = AtomicU64::new(0);

/// Counts an answer of the API.
pub(crate) fn count(server_error: bool, took: Duration) {
    ANSWERS.fetch_add(1, Relaxed);
    if server_error || took > GOOD_WITHIN {
        BAD.fetch_add(1, Relaxed);
    }
}

/// How the promise was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) answers: u64,
    pub(crate) bad: u64,
}

/// How it was kept since the process started.
pub(crate) fn since_start() -> Kept {
    Kept {
        bad: BAD.load(Relaxed),
        answers: ANSWERS.load(Relaxed),
    }
}

impl Kept {
    /// What is left of the budget: 1 is all, 0 nothing, less is overdrawn.
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    pub(crate) fn remaining(self) -> Option<f64> {
        let allowed = self.answers as f64 * BAD_PER_THOUSAND / 1000.0;
        (self.answers > 0).then(|| 1.0 - self.bad as f64 / allowed)
    }
}

/// What Prometheus says is left, where there is one and it knows.
pub(crate) async fn remaining(prometheus: Option<&Uri>) -> Option<f64> {
    let asked = timeout(PATIENCE, ask(prometheus?)).await;
    let answer = asked.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer in time")));
    answer
        .inspect_err(|error| tracing::debug!("Prometheus does not tell what is left: {error:#}"))
        .ok()
}

async fn ask(prometheus: &Uri) -> anyhow::Result<f64> {
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
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
    let body = body.collect().await.map_err(anyhow::Error::from_boxed)?;
    connection.abort();
    read(&body.to_bytes())
}

/// The value in an answer of Prometheus' HTTP interface.
fn read(body: &[u8]) -> anyhow::Result<f64> {
    let answer: serde_json::Value = serde_json::from_slice(body)?;
    let value = &answer["data"]["result"][0]["value"][1];
    let value = value.as_str().context("nothing is recorded yet")?;
    Ok(value.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_answer_of_two_thousand_takes_half_of_the_budget() {
        let kept = Kept {
            answers: 2_000,
            bad: 1,
        };
        assert_eq!(kept.remaining(), Some(0.5));
        let nothing = Kept { answers: 0, bad: 0 };
        assert_eq!(nothing.remaining(), None);
    }

    #[test]
    fn prometheus_value_is_read() {
        let answer = br#"{"status":"success","data":{"resultType":"vector",
            "result":[{"metric":{},"value":[1700000000.0,"0.75"]}]}}"#;
        assert!((read(answer).unwrap() - 0.75).abs() < 1e-9);
        assert!(read(br#"{"status":"success","data":{"result":[]}}"#).is_err());
    }
}
