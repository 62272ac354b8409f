//! What others see of each request: its duration, its span, its log lines.

use std::{
    cell::RefCell,
    collections::HashMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use chassis::{
    log_limiter::{LogDecision, LogLimiter},
    trace::{self, Span},
};
use http::{Method, StatusCode};
use metrics::{Counter, Histogram};
use tracing::Level;

use crate::{origin::Peer, promise};

/// How many lines a second tell of failed and slow requests; in an outage, lines without end would be
/// the next outage.
static LINES: LogLimiter = LogLimiter::per_second(100);

/// Whom a port is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Face {
    /// The simulator.
    Api,
    /// People.
    Pages,
}

impl Face {
    fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Pages => "pages",
        }
    }

    /// Counts requests that were refused at the door; there at 0 from the start.
    pub(crate) fn shed(self) -> Counter {
        metrics::counter!("minitwit_shed_requests_total", "face" => self.name())
    }

    /// A request that takes longer is told of in any case.
    fn slow(self) -> Duration {
        match self {
            Self::Api => Duration::from_millis(200),
            Self::Pages => Duration::from_secs(1),
        }
    }
}

/// Face, method, route and status.
type Measured = (Face, Method, Box<str>, u16);

thread_local! {
    /// Handles by what they measure: looking one up in the registry costs more than the request's
    /// whole routing.
    static DURATIONS: RefCell<HashMap<Measured, Histogram>> = RefCell::default();
}

/// Observes each request under its route's template, never under what a client made up.
pub(crate) async fn observe(State(face): State<Face>, request: Request, next: Next) -> Response {
    let seen = Seen::new(face, &request);
    let parent = trace::from_outside(request.headers());
    let span = Span::server(parent, || {
        format!("{} {}", seen.method, seen.route()).into()
    });
    let answered = span.run(async {
        tracing::debug!(
            face = face.name(),
            method = %seen.method,
            route = seen.route(),
            peer = seen.peer.map(tracing::field::display),
            "a request came in",
        );
        let response = next.run(request).await;
        seen.answered(response.status());
        response
    });
    let response = answered.await;
    seen.finish(span, response.status());
    response
}

/// What of a request can be seen by others.
struct Seen {
    began: Instant,
    face: Face,
    method: Method,
    route: Option<MatchedPath>,
    peer: Option<SocketAddr>,
}

impl Seen {
    fn new(face: Face, request: &Request) -> Self {
        let extensions = request.extensions();
        Self {
            began: Instant::now(),
            face,
            method: known(request.method()),
            route: extensions.get::<MatchedPath>().cloned(),
            peer: extensions.get::<Peer>().map(|peer| peer.0),
        }
    }

    /// The route's template; empty for what no route matches.
    fn route(&self) -> &str {
        self.route.as_ref().map_or("", MatchedPath::as_str)
    }

    /// Measures the request, and tells of it as loud as it deserves.
    fn answered(&self, status: StatusCode) {
        let took = self.began.elapsed();
        self.record(status.as_u16(), took);
        if self.face == Face::Api {
            promise::count(status.is_server_error(), took);
        }
        macro_rules! tell {
            ($level:expr, $left_out:expr) => {
                tracing::event!(
                    $level,
                    face = self.face.name(),
                    method = %self.method,
                    route = self.route(),
                    status = status.as_u16(),
                    seconds = took.as_secs_f64(),
                    peer = self.peer.map(tracing::field::display),
                    lines_left_out = $left_out,
                    "a request was answered"
                )
            };
        }
        let failed = status.is_server_error();
        match LINES.decide(failed, took >= self.face.slow()) {
            LogDecision::Warn(left_out) => tell!(Level::WARN, left_out),
            LogDecision::Info(left_out) => tell!(Level::INFO, left_out),
            LogDecision::Debug => tell!(Level::DEBUG, tracing::field::Empty),
            LogDecision::Suppress => {}
        }
    }

    fn record(&self, status: u16, took: Duration) {
        DURATIONS.with_borrow_mut(|durations| {
            let key = (
                self.face,
                self.method.clone(),
                Box::from(self.route()),
                status,
            );
            let histogram =
                durations
                    .entry(key)
                    .or_insert_with_key(|(face, method, route, status)| {
                        metrics::histogram!(
                            "http_server_request_duration_seconds",
                            "face" => face.name(),
                            "http_request_method" => method.to_string(),
                            "http_route" => route.to_string(),
                            "http_response_status_code" => status.to_string(),
                        )
                    });
            histogram.record(took.as_secs_f64());
        });
    }

    /// Ends the request's span; a client's own mistakes are no error of the server's.
    fn finish(&self, span: Span, status: StatusCode) {
        if span.is_recording() {
            span.set("http.request.method", self.method.to_string());
            span.set("http.route", self.route().to_owned());
            span.set("http.response.status_code", i64::from(status.as_u16()));
            span.set("minitwit.face", self.face.name());
            if let Some(peer) = self.peer {
                span.set("network.peer.address", peer.ip().to_string());
            }
        }
        span.finish(status.is_server_error().then_some(match status {
            StatusCode::SERVICE_UNAVAILABLE => "503",
            StatusCode::GATEWAY_TIMEOUT => "504",
            _ => "500",
        }));
    }
}

/// Methods that anybody can make up count as one.
fn known(method: &Method) -> Method {
    match *method {
        Method::GET | Method::POST | Method::HEAD | Method::PUT | Method::DELETE => method.clone(),
        _ => Method::from_bytes(b"OTHER").expect("a valid method"),
    }
}
