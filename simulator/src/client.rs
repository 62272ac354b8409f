//! The HTTP client: each request is sent once, has one deadline, and every kind of error is kept apart.
//!
//! A request is never retried, because the simulator has to count every failure. The only exception
//! is a request for which the pool chose a connection that the server had closed before the first
//! byte was written. This request was never sent, so the pool sends it on another connection.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail, ensure};
use base64::Engine;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, DATE, HOST, USER_AGENT};
use http::{HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{HttpConnector, capture_connection};
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

/// Maximum size of a response body in bytes. A list of 10,000 messages of 1,000 characters is
/// smaller. A larger body is an error.
const BODY_BYTES_MAX: usize = 256 << 20;

/// Maximum time for the first connection to each address of the host.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The server that requests are sent to.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    address: SocketAddr,
    host: HeaderValue,
    /// The path of the URL, without a trailing slash.
    prefix: String,
}

impl Target {
    /// Parses a URL and finds an address of its host that accepts connections.
    pub(crate) async fn resolve(url: &str) -> anyhow::Result<Self> {
        let uri = parse_url(url)?;
        let authority = uri.authority().context("the URL has no host")?;
        let port = authority.port_u16().unwrap_or(80);
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        let mut last_error = anyhow::anyhow!("{host} has no address");
        let addresses = tokio::net::lookup_host((host, port))
            .await
            .with_context(|| format!("cannot find the address of {host}"))?;
        for address in addresses {
            match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
                Ok(Ok(_)) => {
                    return Ok(Self {
                        address,
                        host: HeaderValue::from_str(authority.as_str())?,
                        prefix: uri.path().trim_end_matches('/').to_owned(),
                    });
                }
                Ok(Err(error)) => last_error = error.into(),
                Err(_) => last_error = anyhow::anyhow!("no answer from {address}"),
            }
        }
        Err(last_error.context(format!("cannot connect to {url}")))
    }
}

fn parse_url(url: &str) -> anyhow::Result<Uri> {
    let with_scheme = if url.contains("://") {
        url.to_owned()
    } else {
        format!("http://{url}")
    };
    let uri: Uri = with_scheme
        .parse()
        .with_context(|| format!("{url:?} is not a URL"))?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => bail!("https is not supported: give the http:// address behind the proxy"),
        other => bail!(
            "{url:?}: expected http://, found {}",
            other.unwrap_or("nothing")
        ),
    }
    ensure!(
        uri.query().is_none(),
        "{url:?}: the URL must not have a query"
    );
    Ok(uri)
}

/// A complete response.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) date: Option<SystemTime>,
    pub(crate) body: Bytes,
}

/// The error of a request without a complete response.
#[derive(Clone, Debug)]
pub(crate) enum SendError {
    /// No connection was made, so the server cannot have seen the request.
    NotConnected(String),
    /// The connection broke, so the server may have seen the request.
    Broken(String),
    /// The response was not complete before the deadline. The server may have seen the request.
    TimedOut,
}

/// Sends requests to one target.
pub(crate) struct Client {
    inner: legacy::Client<HttpConnector, Full<Bytes>>,
    target: Target,
    authorization: HeaderValue,
    close: bool,
}

impl Client {
    /// A client that authenticates with `name:password`.
    ///
    /// With `close`, every request has its own connection and the header `Connection: close`.
    pub(crate) fn new(target: Target, credentials: &str, close: bool) -> Self {
        let encoded = base64::engine::general_purpose::STANDARD.encode(credentials);
        let mut authorization =
            HeaderValue::from_str(&format!("Basic {encoded}")).expect("base64 fits into a header");
        authorization.set_sensitive(true);
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let inner = legacy::Client::builder(TokioExecutor::new())
            .pool_idle_timeout(None)
            .pool_max_idle_per_host(if close { 0 } else { usize::MAX })
            .build(connector);
        Self {
            inner,
            target,
            authorization,
            close,
        }
    }

    /// Sends one request once and reads the complete response.
    ///
    /// The connection of a request that misses its deadline is closed, as the course's simulator
    /// does.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Response, SendError> {
        let deadline = Instant::now() + timeout;
        let mut request = self.request(method, path, body);
        let connection = capture_connection(&mut request);
        let response = match timeout_at(deadline, self.inner.request(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) if error.is_connect() => {
                return Err(SendError::NotConnected(root_cause(&error)));
            }
            Ok(Err(error)) => return Err(SendError::Broken(root_cause(&error))),
            Err(_) if connection.connection_metadata().is_none() => {
                return Err(SendError::NotConnected("no connection in time".to_owned()));
            }
            Err(_) => return Err(SendError::TimedOut),
        };
        let status = response.status().as_u16();
        let date = response
            .headers()
            .get(DATE)
            .and_then(|value| httpdate::parse_http_date(value.to_str().ok()?).ok());
        let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect();
        match timeout_at(deadline, body).await {
            Err(_) => Err(SendError::TimedOut),
            Ok(Err(error)) => Err(SendError::Broken(root_cause(error.as_ref()))),
            Ok(Ok(body)) => Ok(Response {
                status,
                date,
                body: body.to_bytes(),
            }),
        }
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> Request<Full<Bytes>> {
        let Target {
            address,
            host,
            prefix,
        } = &self.target;
        let mut builder = Request::builder()
            .method(method)
            .uri(format!("http://{address}{prefix}{path}"))
            .header(HOST, host)
            .header(AUTHORIZATION, &self.authorization)
            .header(
                USER_AGENT,
                concat!("minitwit-simulator/", env!("CARGO_PKG_VERSION")),
            );
        if self.close {
            builder = builder.header(CONNECTION, "close");
        }
        if !body.is_empty() {
            builder = builder.header(CONTENT_TYPE, "application/json");
        }
        builder
            .body(Full::new(body))
            .expect("paths are percent-encoded")
    }
}

/// The text of the innermost error, such as "connection refused" instead of "error sending request".
fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    match error.downcast_ref::<std::io::Error>() {
        Some(io) => io.kind().to_string(),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_urls_are_accepted() {
        assert!(parse_url("http://127.0.0.1:5001").is_ok());
        assert!(parse_url("127.0.0.1:5001").is_ok());
        assert!(parse_url("http://host/prefix/").is_ok());
        assert!(parse_url("http://host/?a=b").is_err());
        assert!(parse_url("ftp://host").is_err());
        let error = parse_url("https://host").unwrap_err();
        assert!(error.to_string().contains("https is not supported"));
    }
}
