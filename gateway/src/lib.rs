//! The gateway: HTTP in, gRPC out. It turns the simulator's API and the pages into calls of the
//! services, and composes what they answer.
//!
//! It owns nothing durable, so any replica of it can die at any moment, and it knows no rule of the
//! domain that a service knows. What it keeps in memory (names, rendered answers) is either true
//! for as long as an account lives or validated by a service on every request.

use std::{sync::Arc, time::Duration};

use chassis::{admin::Readiness, shutdown::Drain};
use futures_util::future::BoxFuture;
use http::Uri;
use ipnet::IpNet;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    backend::Backend,
    credentials::Credentials,
    pages::{PageOptions, Pages, live::Live},
};

pub mod api;
pub mod args;
pub mod backend;
pub mod credentials;
mod error;
mod json;
mod meter;
mod observe;
mod origin;
pub mod pages;
mod promise;
mod server;
pub mod session;

/// What the gateway is told when it starts, by its own process or by the suite.
#[derive(Debug)]
pub struct Config {
    /// Who may use the simulator's API.
    pub credentials: Credentials,
    /// From whose mouth the name of a request and the address of a client are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How the pages behave.
    pub pages: PageOptions,
    /// Where Prometheus is, for the status page; without it the page counts by itself.
    pub prometheus: Option<Uri>,
    /// How long a request of the simulator's API may take.
    pub api_budget: Duration,
    /// How many requests of the API may be under way at once; the pages get a quarter of that.
    pub requests_max: usize,
    /// How it stops.
    pub drain: Drain,
    /// Where it says that it is ready.
    pub readiness: Readiness,
}

/// How many requests of the API may be under way unless told otherwise.
pub const REQUESTS_MAX: usize = 4096;

/// How long a request of the simulator's API may take unless told otherwise: the simulator gives up
/// after 300 ms.
pub const API_BUDGET: Duration = Duration::from_millis(250);

/// How long a sign-up or a sign-in may take: old password hashes cost up to a second.
pub const SIGN_IN_BUDGET: Duration = Duration::from_secs(5);

/// How long a page may take.
pub const PAGE_BUDGET: Duration = Duration::from_secs(2);

/// How long a page waits for what it can do without.
pub const SIDE_BUDGET: Duration = Duration::from_millis(700);

/// What every handler has at hand.
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
}

/// The ports of the gateway.
#[derive(Debug)]
pub struct Listeners {
    /// The pages.
    pub pages: TcpListener,
    /// The simulator's API.
    pub api: TcpListener,
}

/// Serves pages and API until `shutdown`, then drains.
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
    let Config {
        credentials,
        trusted_proxies,
        pages,
        prometheus,
        api_budget,
        requests_max,
        drain,
        readiness,
    } = config;
    let (pages, live) = (pages.into(), Live::new(shutdown.clone()));
    let app = App(Arc::new(Inner {
        backend,
        api_budget,
        credentials,
        trusted_proxies,
        pages,
        live,
        prometheus,
    }));
    readiness.set_ready();

    let api = server::Server {
        face: observe::Face::Api,
        router: api::router(app.clone()),
        requests_max,
        busy: api::busy,
    };
    let pages = server::Server {
        face: observe::Face::Pages,
        router: pages::router(app),
        requests_max: requests_max.div_ceil(4),
        busy: pages::busy,
    };
    let stop = server::Stop {
        shutdown,
        drain,
        readiness,
    };
    tokio::try_join!(
        api.serve(listeners.api, &stop),
        pages.serve(listeners.pages, &stop)
    )?;
    Ok(())
}
