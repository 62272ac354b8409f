//! Gateway of MiniTwit, which serves the pages and the simulator's API in front of the three services.
//!
//! The gateway translates each HTTP request into calls of the services and composes their results. It
//! owns no durable data, so a replica may stop at any moment. It does not validate what the services
//! validate. Its caches hold user names, which are valid as long as the account exists, and rendered
//! lists, whose version a service confirms for each request.

use std::{sync::Arc, time::Duration};

use chassis::{admin::Readiness, log_limiter::LogLimiter, shutdown::Drain};
use futures_util::future::BoxFuture;
use http::Uri;
use ipnet::IpNet;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    backend::{Backend, background::BackgroundTasks},
    credentials::Credentials,
    observe::Surface,
    pages::{PageOptions, Pages, live::Live},
    slo::AnswerCounters,
};

pub mod api;
pub mod args;
pub mod backend;
mod body;
pub mod credentials;
mod error;
mod meter;
mod observe;
mod origin;
pub mod pages;
mod render;
mod server;
pub mod session;
mod slo;
mod validate;

/// Configuration of the gateway, from its own process or from the suite.
#[derive(Debug)]
pub struct Config {
    /// Credentials for the simulator's API.
    pub credentials: Credentials,
    /// Networks of the proxies whose headers are trusted to name a request and its client.
    pub trusted_proxies: Vec<IpNet>,
    /// Options of the pages.
    pub pages: PageOptions,
    /// URL of Prometheus, for the status page. Without it, the page shows the counts of this gateway.
    pub prometheus: Option<Uri>,
    /// Timeout of a request to the simulator's API.
    pub api_budget: Duration,
    /// Maximum number of concurrent requests to the API. The maximum for the pages is a quarter of it.
    pub requests_max: usize,
    /// Durations of the drain.
    pub drain: Drain,
    /// Readiness that the gateway reports.
    pub readiness: Readiness,
}

/// Default of the maximum number of concurrent requests to the API.
pub const REQUESTS_MAX: usize = 4096;

/// Default timeout of a request to the simulator's API. The simulator gives up after 300 ms.
pub const API_BUDGET: Duration = Duration::from_millis(250);

/// Timeout of a sign-up or a sign-in. The check of an old password hash takes up to a second.
pub const SIGN_IN_BUDGET: Duration = Duration::from_secs(5);

/// Timeout of a page.
pub const PAGE_BUDGET: Duration = Duration::from_secs(2);

/// Timeout of the optional parts of a page.
pub const SIDE_BUDGET: Duration = Duration::from_millis(700);

/// Maximum number of log lines per second about failed and slow requests. During an outage, an unlimited
/// number of lines would overload the log.
const REQUEST_LINES_PER_SECOND_MAX: u64 = 100;

/// State of one gateway, shared by all handlers.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    backend: Backend,
    api_budget: Duration,
    credentials: Credentials,
    trusted_proxies: Vec<IpNet>,
    pages: Pages,
    live: Live,
    prometheus: Option<Uri>,
    answers: AnswerCounters,
    request_log: LogLimiter,
}

/// Listeners of the gateway.
#[derive(Debug)]
pub struct Listeners {
    /// Listener of the pages.
    pub pages: TcpListener,
    /// Listener of the simulator's API.
    pub api: TcpListener,
}

/// Serves the pages and the API until `shutdown`, then drains. Before it returns, it stores the deferred
/// `latest` values, at most until the hard stop.
///
/// # Errors
///
/// A listener failed.
///
/// The future is boxed, so that its code is compiled in this crate and not again in the program.
pub fn serve(
    config: Config,
    backend: Backend,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> BoxFuture<'static, anyhow::Result<()>> {
    Box::pin(run(config, backend, listeners, shutdown))
}

async fn run(
    config: Config,
    backend: Backend,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let background = BackgroundTasks::start(&backend);
    let requests_max = config.requests_max;
    let stop = server::Stop::new(shutdown.clone(), config.drain, config.readiness);
    let app = App(Arc::new(Inner {
        backend,
        api_budget: config.api_budget,
        credentials: config.credentials,
        trusted_proxies: config.trusted_proxies,
        pages: config.pages.into(),
        live: Live::new(shutdown),
        prometheus: config.prometheus,
        answers: AnswerCounters::default(),
        request_log: LogLimiter::per_second(REQUEST_LINES_PER_SECOND_MAX),
    }));
    stop.readiness.set_ready();

    let api = server::Server {
        surface: Surface::Api,
        router: api::router(app.clone()),
        requests_max,
        busy: api::busy,
    };
    let pages = server::Server {
        surface: Surface::Pages,
        router: pages::router(app),
        requests_max: requests_max.div_ceil(4),
        busy: pages::busy,
    };
    let served = tokio::try_join!(
        api.serve(listeners.api, &stop),
        pages.serve(listeners.pages, &stop)
    );
    background.stop(stop.hard_stop()).await;
    served?;
    Ok(())
}
