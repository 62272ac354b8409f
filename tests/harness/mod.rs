//! The suite on free ports, and HTTP clients for it.

#![expect(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses its own part of the harness"
)]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{net::SocketAddr, path::Path, time::Duration};

use chassis::{admin::Readiness, shutdown::Drain};
use minitwit::{Config, Databases, ServiceAddresses, Suite, databases};
use minitwit_client::Pools;
use minitwit_gateway::{
    Config as GatewayConfig, Listeners, REQUESTS_MAX, backend::Backend, credentials::Credentials,
    pages::PageOptions, session::CookieKeys,
};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub mod chromium;
pub mod client;
pub mod contract;
pub mod http_client;
pub mod person;
pub mod relay;

pub use client::{Answer, Client, segment};

/// The `Authorization` header of the course's simulator.
pub const SIMULATOR: &str = "Basic c2ltdWxhdG9yOnN1cGVyX3NhZmUh";

/// The key with which the gateways of the tests sign cookies.
pub const COOKIE_KEY: &str = "a key that only the tests know and that is long enough";

/// A suite that runs until it is stopped or the test ends.
pub struct Running {
    pub pages: SocketAddr,
    pub api: SocketAddr,
    pub services: ServiceAddresses,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
    _folder: Option<TempDir>,
}

impl Running {
    /// Starts a suite with empty SQLite databases.
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let databases = databases::in_folder(folder.path()).unwrap();
        Self::over(databases, Some(folder)).await
    }

    /// Starts a suite with the SQLite databases of a folder, which may already contain data.
    pub async fn in_folder(folder: &Path) -> Self {
        Self::over(databases::in_folder(folder).unwrap(), None).await
    }

    /// Starts a suite with the given databases.
    pub async fn over(databases: Databases, folder: Option<TempDir>) -> Self {
        let suite = Suite::start(config(databases)).await.unwrap();
        let stop = CancellationToken::new();
        Self {
            pages: suite.pages,
            api: suite.api,
            services: suite.services,
            task: tokio::spawn(suite.run(stop.clone())),
            stop,
            _folder: folder,
        }
    }

    /// Stops the suite and waits until it is drained.
    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }

    /// Starts another gateway for the same services and returns the address of its pages.
    pub async fn another_gateway(&self) -> SocketAddr {
        self.gateway_before(self.services).await
    }

    /// Starts another gateway with a changed configuration and returns the address of its pages.
    pub async fn gateway_with(&self, change: impl FnOnce(&mut GatewayConfig)) -> SocketAddr {
        let mut config = gateway_config();
        change(&mut config);
        self.start_gateway(config, self.services).await
    }

    /// Starts a gateway that cannot reach the follower service, and returns the address of its pages.
    pub async fn gateway_without_follower(&self) -> SocketAddr {
        let follower = unused_address().await;
        self.gateway_before(ServiceAddresses {
            follower,
            ..self.services
        })
        .await
    }

    /// Starts a gateway that cannot reach the message service, and returns the address of its pages.
    pub async fn gateway_without_message(&self) -> SocketAddr {
        let message = unused_address().await;
        self.gateway_before(ServiceAddresses {
            message,
            ..self.services
        })
        .await
    }

    /// Starts a gateway that cannot reach the user service, and returns the address of its pages.
    pub async fn gateway_without_user(&self) -> SocketAddr {
        let user = unused_address().await;
        self.gateway_before(ServiceAddresses {
            user,
            ..self.services
        })
        .await
    }

    /// Starts a gateway for the services at the given addresses, and returns the address of its pages.
    pub async fn gateway_before(&self, services: ServiceAddresses) -> SocketAddr {
        self.start_gateway(gateway_config(), services).await
    }

    async fn start_gateway(&self, config: GatewayConfig, services: ServiceAddresses) -> SocketAddr {
        let listeners = Listeners {
            pages: minitwit::listen_on_free_port().await.unwrap(),
            api: minitwit::listen_on_free_port().await.unwrap(),
        };
        let pages = listeners.pages.local_addr().unwrap();
        let pools = Pools::connect(services.map(|address| [address.to_string()]));
        let backend = Backend::new(pools, 1 << 20);
        let stop = self.stop.child_token();
        tokio::spawn(minitwit_gateway::serve(config, backend, listeners, stop));
        pages
    }

    /// A client of the API with the simulator's credentials.
    pub fn simulator(&self) -> Client {
        Client {
            address: self.api,
            authorization: Some(SIMULATOR.to_owned()),
            trace: None,
            checks_contract: true,
        }
    }

    /// A client of the API without credentials.
    pub fn anonymous(&self) -> Client {
        Client {
            address: self.api,
            authorization: None,
            trace: None,
            checks_contract: true,
        }
    }
}

fn config(databases: Databases) -> Config {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    Config {
        listen_pages: any,
        listen_api: any,
        listen_services: ServiceAddresses {
            user: any,
            follower: any,
            message: any,
        },
        databases,
        gateway: gateway_config(),
        rendered_bytes_max: 1 << 20,
        reflection: false,
    }
}

/// An address at which no process listens.
async fn unused_address() -> SocketAddr {
    minitwit::listen_on_free_port()
        .await
        .unwrap()
        .local_addr()
        .unwrap()
}

/// Configuration of the gateways of the tests.
pub fn gateway_config() -> GatewayConfig {
    GatewayConfig {
        credentials: Credentials::parse(&"simulator:super_safe!".into()).unwrap(),
        trusted_proxies: Vec::new(),
        pages: PageOptions {
            cookie_keys: CookieKeys::parse(&COOKIE_KEY.into()).unwrap(),
            ..PageOptions::default()
        },
        prometheus: None,
        // The tests check responses and not their latency, and may run on a busy machine.
        api_budget: Duration::from_secs(10),
        requests_max: REQUESTS_MAX,
        drain: Drain::AT_ONCE,
        readiness: Readiness::default(),
    }
}
