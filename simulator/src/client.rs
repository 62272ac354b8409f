//! The HTTP client: one request, one deadline, no retry, and every failure told apart.
//!
//! It drives hyper's connections itself instead of taking a pooled client, because a pool would
//! retry behind our back, and because `Connection: close` is what the course's simulator sends.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail, ensure};
use base64::Engine;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, DATE, HOST, USER_AGENT};
use http::{HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

/// More than 10,000 messages of 1,000 characters have; past it, the answer is a failure.
const BODY_BYTES_MAX: usize = 256 << 20;

/// How long the look-up of the host may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// Where requests go.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    address: SocketAddr,
    host: HeaderValue,
    /// The path of the URL, without a slash at its end.
    prefix: String,
}

impl Target {
    /// Takes a URL apart and finds an address that accepts connections.
    pub(crate) async fn resolve(url: &str) -> anyhow::Result<Self> {
        let uri = parse_url(url)?;
        let authority = uri.authority().context("the URL has no host")?;
        let port = authority.port_u16().unwrap_or(80);
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        let mut refusal = anyhow::anyhow!("{host} has no address");
        let addresses = tokio::net::lookup_host((host, port))
            .await
            .with_context(|| format!("cannot find the address of {host}"))?;
        for address in addresses {
            match timeout_at(
                Instant::now() + CONNECT_PATIENCE,
                TcpStream::connect(address),
            )
            .await
            {
                Ok(Ok(_)) => {
                    return Ok(Self {
                        address,
                        host: HeaderValue::from_str(authority.as_str())?,
                        prefix: uri.path().trim_end_matches('/').to_owned(),
                    });
                }
                Ok(Err(error)) => refusal = error.into(),
                Err(_) => refusal = anyhow::anyhow!("no answer from {address}"),
            }
        }
        Err(refusal.context(format!("cannot connect to {url}")))
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

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) date: Option<SystemTime>,
    pub(crate) body: Bytes,
}

/// Why there is no answer.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// No connection was made, so the server cannot have seen the request.
    NotConnected(String),
    /// The connection broke; the server may have seen the request.
    Broken(String),
    /// The answer did not come in time; the server may have seen the request.
    TimedOut,
}

/// Sends requests to one target.
pub(crate) struct Client {
    target: Target,
    authorization: HeaderValue,
    close: bool,
    idle: Mutex<Vec<Connection>>,
}

struct Connection {
    sender: SendRequest<Full<Bytes>>,
    task: JoinHandle<()>,
}

impl Drop for Connection {
    // A request that was given up closes its connection, as the course's simulator does.
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Client {
    /// A client that authenticates with `name:password`; `close` makes a connection per request.
    pub(crate) fn new(target: Target, credentials: &str, close: bool) -> Self {
        let encoded = base64::engine::general_purpose::STANDARD.encode(credentials);
        let mut authorization =
            HeaderValue::from_str(&format!("Basic {encoded}")).expect("base64 fits into a header");
        authorization.set_sensitive(true);
        Self {
            target,
            authorization,
            close,
            idle: Mutex::default(),
        }
    }

    /// Sends one request, once, and reads the whole answer.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Reply, Failure> {
        let deadline = Instant::now() + timeout;
        let mut request = self.request(method, path, body);
        loop {
            let (mut connection, reused) = self.connection(deadline).await?;
            let sent = connection.sender.try_send_request(request);
            let response = match timeout_at(deadline, sent).await {
                Err(_) => return Err(Failure::TimedOut),
                Ok(Ok(response)) => response,
                Ok(Err(mut failure)) => match failure.take_message() {
                    // An idle connection was closed before a byte was written: this is no retry.
                    Some(unsent) if reused => {
                        request = unsent;
                        continue;
                    }
                    _ => return Err(Failure::Broken(root_cause(failure.error()))),
                },
            };
            let status = response.status().as_u16();
            let date = response
                .headers()
                .get(DATE)
                .and_then(|value| httpdate::parse_http_date(value.to_str().ok()?).ok());
            let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect();
            let body = match timeout_at(deadline, body).await {
                Err(_) => return Err(Failure::TimedOut),
                Ok(Err(error)) => return Err(Failure::Broken(root_cause(error.as_ref()))),
                Ok(Ok(body)) => body.to_bytes(),
            };
            if !self.close {
                self.idle
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(connection);
            }
            return Ok(Reply { status, date, body });
        }
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> Request<Full<Bytes>> {
        let mut builder = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.target.prefix))
            .header(HOST, &self.target.host)
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

    /// An idle connection, or else a new one, and whether it was used before.
    async fn connection(&self, deadline: Instant) -> Result<(Connection, bool), Failure> {
        loop {
            let idle = self
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop();
            let Some(mut connection) = idle else { break };
            if let Ok(Ok(())) = timeout_at(deadline, connection.sender.ready()).await {
                return Ok((connection, true));
            }
        }
        match timeout_at(deadline, self.connect()).await {
            Ok(Ok(connection)) => Ok((connection, false)),
            Ok(Err(cause)) => Err(Failure::NotConnected(cause)),
            Err(_) => Err(Failure::NotConnected("no connection in time".to_owned())),
        }
    }

    async fn connect(&self) -> Result<Connection, String> {
        let stream = TcpStream::connect(self.target.address)
            .await
            .map_err(|error| root_cause(&error))?;
        stream
            .set_nodelay(true)
            .map_err(|error| root_cause(&error))?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| root_cause(&error))?;
        // Its errors also reach the one request that is on it.
        let task = tokio::spawn(async move { drop(connection.await) });
        Ok(Connection { sender, task })
    }
}

/// The innermost error: "connection refused" rather than "error sending request".
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
    fn only_http_urls_are_taken() {
        assert!(parse_url("http://127.0.0.1:5001").is_ok());
        assert!(parse_url("127.0.0.1:5001").is_ok());
        assert!(parse_url("http://host/prefix/").is_ok());
        assert!(parse_url("http://host/?a=b").is_err());
        assert!(parse_url("ftp://host").is_err());
        let error = parse_url("https://host").unwrap_err();
        assert!(error.to_string().contains("https is not supported"));
    }
}
