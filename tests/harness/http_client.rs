//! The HTTP client of all tests, which opens a new connection for each request.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::{client::legacy, rt::TokioExecutor};

use super::Answer;

/// The URI of a path on a server.
pub fn uri(address: SocketAddr, path: &str) -> String {
    format!("http://{address}{path}")
}

/// Sends a request over HTTP/1 and returns the response as soon as its headers have arrived.
pub async fn send(request: Request<Full<Bytes>>) -> Response<Incoming> {
    let client = legacy::Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .build_http();
    client.request(request).await.unwrap()
}

/// Sends a request over HTTP/2 without TLS and returns the response as soon as its headers have
/// arrived.
pub async fn send_http2(request: Request<Full<Bytes>>) -> Response<Incoming> {
    let client = legacy::Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http();
    client.request(request).await.unwrap()
}

/// Sends a request over HTTP/1 and returns the complete response.
pub async fn exchange(request: Request<Full<Bytes>>) -> Answer {
    let (head, body) = send(request).await.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer {
        status: head.status,
        headers: head.headers,
        body,
    }
}
