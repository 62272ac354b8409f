//! The HTTP server for operators, with `/metrics`, `/healthz` and `/readyz`, on a port that is not
//! public.

mod runtime;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, bail};
use axum::{Router, extract::State, http::StatusCode, routing::get};
use futures_util::future::BoxFuture;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use runtime::RuntimeMeter;

/// Whether a process accepts requests, because it has started and is not draining. Clones share the
/// state.
///
/// An unavailable database does not change the readiness, because an orchestrator restarts a process that
/// is not ready, and a restart does not repair the database.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicU8>);

const STARTING: u8 = 0;
const READY: u8 = 1;
const DRAINING: u8 = 2;

impl Readiness {
    /// Sets the state to ready, unless the process is already draining.
    pub fn set_ready(&self) {
        let _ = self
            .0
            .compare_exchange(STARTING, READY, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Sets the state to draining.
    pub fn set_draining(&self) {
        self.0.store(DRAINING, Ordering::Relaxed);
    }

    /// Whether the process accepts requests.
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Relaxed) == READY
    }

    /// The state as a word: `starting`, `ready` or `draining`.
    pub fn as_str(&self) -> &'static str {
        match self.0.load(Ordering::Relaxed) {
            STARTING => "starting",
            READY => "ready",
            _ => "draining",
        }
    }
}

/// Serves metrics and health until the process ends. Logs an error if the listener fails.
///
/// The future is boxed, so that the HTTP server is compiled once, in this crate, and not again in
/// each program.
pub fn serve(
    listener: TcpListener,
    metrics: PrometheusHandle,
    readiness: Readiness,
) -> BoxFuture<'static, ()> {
    Box::pin(serve_all(listener, metrics, readiness))
}

async fn serve_all(listener: TcpListener, metrics: PrometheusHandle, readiness: Readiness) {
    let process = metrics_process::Collector::default();
    process.describe();
    let runtime = RuntimeMeter::default();
    let ready = metrics::gauge!("minitwit_ready");
    let shared = readiness.clone();
    tokio::spawn(runtime::measure_delay());
    let router = Router::new()
        .route(
            "/metrics",
            get(move || {
                process.collect();
                runtime.collect();
                ready.set(u8::from(shared.is_ready()));
                let text = metrics.render();
                async move { text }
            }),
        )
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(readyz))
        .with_state(readiness);
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "the server of metrics and health failed");
    }
}

async fn readyz(State(readiness): State<Readiness>) -> (StatusCode, String) {
    let status = if readiness.is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, format!("{}\n", readiness.as_str()))
}

/// Checks whether the process that serves `listen_admin` on this machine is ready. This is the health
/// check of a container.
///
/// # Errors
///
/// The process is not ready, or did not answer within a second.
pub async fn probe(listen_admin: SocketAddr) -> anyhow::Result<()> {
    let mut address = listen_admin;
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    let answer = tokio::time::timeout(Duration::from_secs(1), get_readyz(address))
        .await
        .with_context(|| format!("no answer from {address} within a second"))?
        .with_context(|| format!("cannot request /readyz from {address}"))?;
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        bail!("the answer from {address} is not HTTP");
    };
    if !head.starts_with("HTTP/1.1 200") {
        bail!("{address} is {}", body.trim());
    }
    Ok(())
}

async fn get_readyz(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
