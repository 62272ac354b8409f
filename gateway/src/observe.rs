//! Duration, span and log lines of each request.

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
    log_limiter::LogDecision,
    trace::{self, Outcome, Parent, Span},
};
use http::{Method, StatusCode};
use metrics::{Counter, Histogram};
use tracing::Level;

use crate::{App, origin::Peer};

/// Set of routes that is served on one port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Surface {
    /// API of the simulator.
    Api,
    /// Pages for browsers.
    Pages,
}

impl Surface {
    fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Pages => "pages",
        }
    }

    /// Counter of the requests that were refused because of too much load. The counter starts at 0.
    pub(crate) fn shed(self) -> Counter {
        metrics::counter!("minitwit_shed_requests_total", "face" => self.name())
    }

    /// Duration above which a request leaves a log line at level info, sampled or not.
    fn slow(self) -> Duration {
        match self {
            Self::Api => Duration::from_millis(200),
            Self::Pages => Duration::from_secs(1),
        }
    }
}

/// Surface, method, route and status.
type DurationLabels = (Surface, Method, Box<str>, u16);

thread_local! {
    /// Cached handles of histograms in the metrics registry of the process. A lookup in the registry
    /// costs more than the routing of a request.
    static DURATIONS: RefCell<HashMap<DurationLabels, Histogram>> = RefCell::default();
}

/// Observer of the requests to one surface of one gateway.
#[derive(Clone)]
pub(crate) struct Observer {
    app: App,
    surface: Surface,
}

impl Observer {
    pub(crate) fn new(app: App, surface: Surface) -> Self {
        Self { app, surface }
    }
}

/// Measures and logs each request under the template of its route, never under the path that the
/// client sent.
pub(crate) async fn observe(
    State(Observer { app, surface: face }): State<Observer>,
    request: Request,
    next: Next,
) -> Response {
    let running = RunningRequest::new(face, &request);
    let parent = Parent::of_client(request.headers());
    let span = running.span(&parent);
    let outcome = Outcome::of(&span);
    let response = parent.run(span, async {
        tracing::debug!(
            face = face.name(),
            method = %running.method,
            route = running.route(),
            peer = running.peer.map(tracing::field::display),
            "a request came in",
        );
        let response = next.run(request).await;
        running.finish(&app, response.status());
        response
    });
    let response = response.await;
    finish_span(outcome, response.status());
    response
}

/// A request in progress, with its labels in metrics, span and log lines.
struct RunningRequest {
    began: Instant,
    face: Surface,
    method: Method,
    route: Option<MatchedPath>,
    peer: Option<SocketAddr>,
}

impl RunningRequest {
    fn new(face: Surface, request: &Request) -> Self {
        let extensions = request.extensions();
        Self {
            began: Instant::now(),
            face,
            method: method_label(request.method()),
            route: extensions.get::<MatchedPath>().cloned(),
            peer: extensions.get::<Peer>().map(|peer| peer.0),
        }
    }

    /// The template of the route. Empty if no route matches.
    fn route(&self) -> &str {
        self.route.as_ref().map_or("", MatchedPath::as_str)
    }

    fn span(&self, parent: &Parent) -> Span {
        trace::span!(
            parent: parent,
            "request",
            otel.name = format!("{} {}", self.method, self.route()),
            otel.kind = "server",
            http.request.method = self.method.as_str(),
            http.route = self.route(),
            http.response.status_code = tracing::field::Empty,
            minitwit.face = self.face.name(),
            network.peer.address = self.peer.map(|peer| tracing::field::display(peer.ip())),
        )
    }

    /// Records the duration of the request and logs the request.
    fn finish(&self, app: &App, status: StatusCode) {
        let took = self.began.elapsed();
        self.record(status.as_u16(), took);
        if self.face == Surface::Api {
            app.0.answers.count(status.is_server_error(), took);
        }
        macro_rules! log {
            ($level:expr, $suppressed:expr) => {
                tracing::event!(
                    $level,
                    face = self.face.name(),
                    method = %self.method,
                    route = self.route(),
                    status = status.as_u16(),
                    seconds = took.as_secs_f64(),
                    peer = self.peer.map(tracing::field::display),
                    lines_left_out = $suppressed,
                    "a request was answered"
                )
            };
        }
        let failed = status.is_server_error();
        match app.0.request_log.decide(failed, took >= self.face.slow()) {
            LogDecision::Warn(suppressed) => log!(Level::WARN, suppressed),
            LogDecision::Info(suppressed) => log!(Level::INFO, suppressed),
            LogDecision::Debug => log!(Level::DEBUG, tracing::field::Empty),
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
}

/// Ends the span of a request. An error of the client, such as 404, is no error of the span.
fn finish_span(outcome: Outcome, status: StatusCode) {
    outcome
        .span()
        .record("http.response.status_code", i64::from(status.as_u16()));
    outcome.finish(status.is_server_error().then_some(match status {
        StatusCode::SERVICE_UNAVAILABLE => "503",
        StatusCode::GATEWAY_TIMEOUT => "504",
        _ => "500",
    }));
}

/// The method as a label. Clients can send any method, so all unknown methods share one label.
fn method_label(method: &Method) -> Method {
    match *method {
        Method::GET | Method::POST | Method::HEAD | Method::PUT | Method::DELETE => method.clone(),
        _ => Method::from_bytes(b"OTHER").expect("a valid method"),
    }
}
