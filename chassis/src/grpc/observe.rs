//! What others see of each call that a server answers: its duration, its span, its log lines.

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
    log_limiter::{LogDecision, LogLimiter},
    telemetry::identity,
    trace::{self, Span},
};

/// A call that takes longer is told of in any case: three times what an attempt of the API's has.
const SLOW: Duration = Duration::from_millis(300);

/// How many lines a second tell of failed and slow calls; in an outage, lines without end would be the
/// next outage.
static LINES: LogLimiter = LogLimiter::per_second(100);

thread_local! {
    /// Handles by method and code: looking one up in the registry costs more than routing a call.
    static SECONDS: RefCell<HashMap<Arc<str>, [Option<Histogram>; CODES]>> = RefCell::default();
}

/// The codes of gRPC, 0 to 16.
const CODES: usize = 17;

/// Observes each call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Observe;

impl<S> Layer<S> for Observe {
    type Service = Observed<S>;

    fn layer(&self, inner: S) -> Observed<S> {
        Observed(inner)
    }
}

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
        let answered = self.0.call(request);
        Box::pin(async move {
            let span = call.span();
            let answered = span.run(async {
                call.entered();
                let answer = answered.await?;
                call.left(code_of(&answer));
                Ok(answer)
            });
            let mut answer = answered.await?;
            trace::finish_rpc(span, &call.method, code_of(&answer));
            if call.method.starts_with(HEALTH) {
                introduce(answer.headers_mut());
            }
            Ok(answer)
        })
    }
}

/// The service that pools ask how a server is.
const HEALTH: &str = "grpc.health.";

/// Says which version this is.
fn introduce(headers: &mut HeaderMap) {
    let version = identity().map(|identity| HeaderValue::try_from(&identity.version));
    if let Some(Ok(version)) = version {
        headers.insert(VERSION_HEADER, version);
    }
}

/// A failed unary call carries its status in the head; a good one in the trailers.
fn code_of<R>(answer: &Response<R>) -> Code {
    let code = answer.headers().get(Status::GRPC_STATUS);
    code.map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()))
}

/// A call under way.
struct Call {
    began: Instant,
    method: Arc<str>,
    peer: Option<SocketAddr>,
    parent: Option<opentelemetry::Context>,
}

impl Call {
    fn new<B>(request: &Request<B>) -> Self {
        let peer = request.extensions().get::<TcpConnectInfo>();
        Self {
            began: Instant::now(),
            method: method(request.uri().path()),
            peer: peer.and_then(TcpConnectInfo::remote_addr),
            parent: trace::from_caller(request.headers()),
        }
    }

    /// A call that nobody's request stands behind, such as a probe, has none.
    fn span(&self) -> Span {
        let Some(parent) = self.parent.clone() else {
            return Span::none();
        };
        let span = Span::server(parent, || self.method.to_string().into());
        if span.is_recording()
            && let Some(peer) = self.peer
        {
            span.set("network.peer.address", peer.to_string());
        }
        span
    }

    fn entered(&self) {
        tracing::debug!(
            method = &*self.method,
            peer = self.peer.map(tracing::field::display),
            "a call came in"
        );
    }

    /// Measures the call, and tells of it as loud as it deserves.
    fn left(&self, code: Code) {
        let took = self.began.elapsed();
        record(&self.method, code, took);
        macro_rules! tell {
            ($level:expr, $left_out:expr) => {
                tracing::event!(
                    $level,
                    method = &*self.method,
                    status = code_name(code),
                    seconds = took.as_secs_f64(),
                    peer = self.peer.map(tracing::field::display),
                    lines_left_out = $left_out,
                    "a call was answered"
                )
            };
        }
        let failed = matches!(
            code,
            Code::Unknown | Code::Internal | Code::DataLoss | Code::Unavailable
        );
        match LINES.decide(failed, took >= SLOW) {
            LogDecision::Warn(left_out) => tell!(Level::WARN, left_out),
            LogDecision::Info(left_out) => tell!(Level::INFO, left_out),
            LogDecision::Debug => tell!(Level::DEBUG, tracing::field::Empty),
            LogDecision::Suppress => {}
        }
    }
}

/// The method of a path, without an allocation when it was asked for before.
fn method(path: &str) -> Arc<str> {
    let name = path.trim_start_matches('/');
    SECONDS.with_borrow(|known| {
        let known = known.get_key_value(name).map(|(name, _)| Arc::clone(name));
        known.unwrap_or_else(|| name.into())
    })
}

fn record(method: &Arc<str>, code: Code, took: Duration) {
    // Names that strangers make up are not to become labels.
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
