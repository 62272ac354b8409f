//! Duration, span and log lines of each call that a server answers.

use std::{
    cell::RefCell,
    collections::HashMap,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderValue, Request, Response};
use metrics::Histogram;
use tonic::{Code, Status, transport::server::TcpConnectInfo};
use tower::{Layer, Service};
use tracing::Level;

use super::{VERSION_HEADER, code_name};
use crate::{
    identity::identity,
    log_limiter::{LogDecision, LogLimiter},
    trace::{self, Outcome, Parent, Span},
};

/// A longer call leaves a log line at level info, sampled or not. The value is three times the
/// timeout of an attempt of the API.
const SLOW: Duration = Duration::from_millis(300);

/// Limits the log lines of failed and slow calls, so that an outage does not fill the log.
static LINES: LogLimiter = LogLimiter::per_second(100);

thread_local! {
    /// Histograms by method and code. A look-up in the registry of metrics costs more than routing
    /// a call.
    static SECONDS: RefCell<HashMap<Arc<str>, [Option<Histogram>; CODES]>> = RefCell::default();
}

/// Number of status codes of gRPC, which run from 0 to 16.
const CODES: usize = 17;

/// Adds [`Observed`] to a server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Observe;

impl<S> Layer<S> for Observe {
    type Service = Observed<S>;

    fn layer(&self, inner: S) -> Observed<S> {
        Observed(inner)
    }
}

/// Service that measures and logs each call of the service inside.
#[derive(Clone, Debug)]
pub(super) struct Observed<S>(S);

impl<S, B, R> Service<Request<B>> for Observed<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let call = Call::new(&request);
        let parent = Parent::of_caller(request.headers());
        let response = self.0.call(request);
        Box::pin(async move {
            let span = call.span(&parent);
            let outcome = Outcome::of(&span);
            let response = parent.run(span, async {
                call.log_start();
                let response = response.await?;
                call.finish(code_of(&response));
                Ok(response)
            });
            let mut response = response.await?;
            trace::finish_rpc(outcome, code_of(&response));
            if call.method.starts_with(HEALTH_SERVICE) {
                add_version(response.headers_mut());
            }
            Ok(response)
        })
    }
}

/// Prefix of the methods of the health service.
const HEALTH_SERVICE: &str = "grpc.health.";

/// Adds the header with the version of this process.
fn add_version(headers: &mut HeaderMap) {
    let version = identity().map(|identity| HeaderValue::try_from(&identity.version));
    if let Some(Ok(version)) = version {
        headers.insert(VERSION_HEADER, version);
    }
}

/// The status code of a response. A failed unary call carries the code in the headers. A successful
/// call carries the code in the trailers.
fn code_of<R>(response: &Response<R>) -> Code {
    let code = response.headers().get(Status::GRPC_STATUS);
    code.map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()))
}

/// A call in progress.
struct Call {
    began: Instant,
    method: Arc<str>,
    peer: Option<SocketAddr>,
}

impl Call {
    fn new<B>(request: &Request<B>) -> Self {
        let peer = request.extensions().get::<TcpConnectInfo>();
        Self {
            began: Instant::now(),
            method: method(request.uri().path()),
            peer: peer.and_then(TcpConnectInfo::remote_addr),
        }
    }

    fn span(&self, parent: &Parent) -> Span {
        trace::span!(
            parent: parent,
            "rpc",
            otel.name = &*self.method,
            otel.kind = "server",
            rpc.system.name = "grpc",
            rpc.method = &*self.method,
            rpc.response.status_code = tracing::field::Empty,
            network.peer.address = self.peer.map(tracing::field::display),
        )
    }

    fn log_start(&self) {
        tracing::debug!(
            method = &*self.method,
            peer = self.peer.map(tracing::field::display),
            "a call came in"
        );
    }

    /// Records the duration of the call and logs the call.
    fn finish(&self, code: Code) {
        let took = self.began.elapsed();
        record(&self.method, code, took);
        macro_rules! log {
            ($level:expr, $suppressed:expr) => {
                tracing::event!(
                    $level,
                    method = &*self.method,
                    status = code_name(code),
                    seconds = took.as_secs_f64(),
                    peer = self.peer.map(tracing::field::display),
                    lines_left_out = $suppressed,
                    "a call was answered"
                )
            };
        }
        let failed = matches!(
            code,
            Code::Unknown | Code::Internal | Code::DataLoss | Code::Unavailable
        );
        match LINES.decide(failed, took >= SLOW) {
            LogDecision::Warn(suppressed) => log!(Level::WARN, suppressed),
            LogDecision::Info(suppressed) => log!(Level::INFO, suppressed),
            LogDecision::Debug => log!(Level::DEBUG, tracing::field::Empty),
            LogDecision::Suppress => {}
        }
    }
}

/// The method of a path. Allocates only for a method that this thread has not recorded yet.
fn method(path: &str) -> Arc<str> {
    let name = path.trim_start_matches('/');
    SECONDS.with_borrow(|known| {
        let known = known.get_key_value(name).map(|(name, _)| Arc::clone(name));
        known.unwrap_or_else(|| name.into())
    })
}

fn record(method: &Arc<str>, code: Code, took: Duration) {
    // Clients can send any name, so the name of an unknown method must not become a label.
    let method = match code {
        Code::Unimplemented => "other".into(),
        _ => Arc::clone(method),
    };
    SECONDS.with_borrow_mut(|known| {
        let codes = known.entry(Arc::clone(&method)).or_default();
        codes[code as usize]
            .get_or_insert_with(|| {
                metrics::histogram!(
                    "rpc_server_call_duration_seconds",
                    "rpc_method" => method.to_string(),
                    "rpc_response_status_code" => code_name(code),
                )
            })
            .record(took.as_secs_f64());
    });
}
