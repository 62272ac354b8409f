//! The HTTP client of all commands. Each request has a timeout.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;

/// `simulator:super_safe!`, the credentials of the course's simulator.
const CREDENTIALS: &str = "Basic c2ltdWxhdG9yOnN1cGVyX3NhZmUh";

/// A client that never repeats a request.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    inner: legacy::Client<HttpConnector, Full<Bytes>>,
    timeout: Duration,
}

/// A response with its whole body.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Response {
    /// The body as JSON. A body that is not JSON becomes null.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    /// A client that opens a new connection for each request.
    pub(crate) fn new(timeout: Duration) -> Self {
        Self::build(timeout, 0)
    }

    /// A client that keeps connections open and uses them again.
    pub(crate) fn keeping_connections(timeout: Duration) -> Self {
        Self::build(timeout, usize::MAX)
    }

    fn build(timeout: Duration, idle_connections_max: usize) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let inner = legacy::Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(idle_connections_max)
            .retry_canceled_requests(false)
            .build(connector);
        Self { inner, timeout }
    }

    pub(crate) async fn get(&self, server: SocketAddr, path: &str) -> anyhow::Result<Response> {
        self.send(server, Method::GET, path, &[], Bytes::new())
            .await
    }

    /// Posts JSON with additional headers.
    pub(crate) async fn post(
        &self,
        server: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> anyhow::Result<Response> {
        let body = body.to_string().into();
        self.send(server, Method::POST, path, headers, body).await
    }

    async fn send(
        &self,
        server: SocketAddr,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> anyhow::Result<Response> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{server}{path}"))
            .header(header::AUTHORIZATION, CREDENTIALS)
            .header(header::CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body))?;
        let exchange = async {
            let (head, body) = self.inner.request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok(Response {
                status: head.status.as_u16(),
                headers: head.headers,
                body,
            })
        };
        tokio::time::timeout(self.timeout, exchange)
            .await
            .with_context(|| format!("{server}{path}: no response within {:?}", self.timeout))?
    }
}
