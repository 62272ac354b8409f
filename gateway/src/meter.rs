//! What operators count: requests by route and status, and the course's own counters by name.

use std::{
    cell::RefCell,
    collections::HashMap,
    time::{Duration, Instant},
};

use axum::{
    extract::{MatchedPath, Request},
    middleware::Next,
    response::Response,
};
use http::Method;
use metrics::{Counter, Histogram};

/// Method, route and status.
type Measured = (Method, Box<str>, u16);

thread_local! {
    /// Handles by what they measure: looking one up in the registry costs more than the request's
    /// whole routing.
    static DURATIONS: RefCell<HashMap<Measured, Histogram>> = RefCell::default();
}

/// Measures each request under its route's template, never under what a client made up.
pub(crate) async fn measure(request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = known(request.method());
    let route: MatchedPath = match request.extensions().get::<MatchedPath>() {
        Some(route) => route.clone(),
        None => return next.run(request).await,
    };
    let response = next.run(request).await;
    record(
        method,
        route.as_str(),
        response.status().as_u16(),
        began.elapsed(),
    );
    response
}

fn record(method: Method, route: &str, status: u16, took: Duration) {
    DURATIONS.with_borrow_mut(|durations| {
        let key = (method, Box::from(route), status);
        let histogram = durations
            .entry(key)
            .or_insert_with_key(|(method, route, status)| {
                metrics::histogram!(
                    "http_server_request_duration_seconds",
                    "http_request_method" => method.to_string(),
                    "http_route" => route.to_string(),
                    "http_response_status_code" => status.to_string(),
                )
            });
        histogram.record(took.as_secs_f64());
    });
}

/// Methods that anybody can make up count as one.
fn known(method: &Method) -> Method {
    match *method {
        Method::GET | Method::POST | Method::HEAD | Method::PUT | Method::DELETE => method.clone(),
        _ => Method::from_bytes(b"OTHER").expect("a valid method"),
    }
}

/// The operators' counters, by the names that the course's dashboards know.
#[derive(Clone)]
pub(crate) struct Counters {
    pub(crate) api_requests: Counter,
    pub(crate) api_errors: Counter,
    pub(crate) api_successes: Counter,
    pub(crate) register: Counter,
    pub(crate) login: Counter,
    pub(crate) follow: Counter,
    pub(crate) unfollow: Counter,
    pub(crate) post: Counter,
    pub(crate) get: Counter,
}

impl Default for Counters {
    /// Registers each counter, so that it is there at 0 from the start.
    fn default() -> Self {
        Self {
            api_requests: metrics::counter!("minitwit_api_requests_total"),
            api_errors: metrics::counter!("minitwit_api_requests_error_total"),
            api_successes: metrics::counter!("minitwit_api_requests_success_total"),
            register: metrics::counter!("minitwit_register_user_total"),
            login: metrics::counter!("minitwit_login_user_total"),
            follow: metrics::counter!("minitwit_follow_user_total"),
            unfollow: metrics::counter!("minitwit_unfollow_user_total"),
            post: metrics::counter!("minitwit_post_message_total"),
            get: metrics::counter!("minitwit_get_messages_total"),
        }
    }
}
