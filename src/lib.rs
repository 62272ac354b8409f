//! The whole suite in one process, and the command line tools.
//!
//! The suite consists of the same services and the same gateway as in a Swarm. They communicate over the
//! loopback interface and store their data in SQLite files.

use std::net::SocketAddr;

use anyhow::Context as _;
use chassis::{admin::Readiness, process::bind, shutdown::Drain};
use database::{
    db::{Db, Migrations, STATEMENT_TIMEOUT},
    service::ServiceConfig,
};
use futures_util::future::{BoxFuture, LocalBoxFuture};
use minitwit_client::{PerService, Pools};
use minitwit_gateway::{Config as GatewayConfig, Listeners, backend::Backend};
use secrecy::SecretString;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

pub mod args;
pub mod databases;
pub mod flag;
mod names;
pub mod user;

pub use databases::Databases;
pub use minitwit_client::address;

/// Configuration of the suite.
#[derive(Debug)]
pub struct Config {
    /// Address of the pages.
    pub listen_pages: SocketAddr,
    /// Address of the simulator's API.
    pub listen_api: SocketAddr,
    /// Addresses of the services.
    pub listen_services: ServiceAddresses,
    /// Databases of the services.
    pub databases: Databases,
    /// Configuration of the gateway.
    pub gateway: GatewayConfig,
    /// Maximum size of the gateway's cache of rendered lists, in bytes.
    pub rendered_bytes_max: u64,
    /// Whether the services answer gRPC reflection.
    pub reflection: bool,
}

/// Address that each service listens at.
pub type ServiceAddresses = PerService<SocketAddr>;

/// A suite with open ports and migrated databases, whose gateway does not serve yet.
pub struct Suite {
    /// Address of the pages.
    pub pages: SocketAddr,
    /// Address of the simulator's API.
    pub api: SocketAddr,
    /// Addresses of the services.
    pub services: ServiceAddresses,
    gateway: GatewayConfig,
    backend: Backend,
    listeners: Listeners,
    running: JoinSet<anyhow::Result<()>>,
    stop_services: CancellationToken,
}

impl Suite {
    /// Opens all ports, migrates the databases and starts the services. The ports come first, so a port
    /// that is in use is reported before any service starts.
    ///
    /// # Errors
    ///
    /// A port is in use, or a database cannot be opened or migrated.
    ///
    /// The future is boxed, so that its code is compiled in this crate and not again in the program.
    pub fn start(config: Config) -> LocalBoxFuture<'static, anyhow::Result<Self>> {
        Box::pin(Self::start_all(config))
    }

    async fn start_all(config: Config) -> anyhow::Result<Self> {
        let listeners = Listeners {
            pages: bind(config.listen_pages).await?,
            api: bind(config.listen_api).await?,
        };
        let (pages, api) = (listeners.pages.local_addr()?, listeners.api.local_addr()?);
        let service_listeners = PerService {
            user: bind(config.listen_services.user).await?,
            follower: bind(config.listen_services.follower).await?,
            message: bind(config.listen_services.message).await?,
        };
        let services = service_listeners
            .as_ref()
            .map(TcpListener::local_addr)
            .transpose()?;

        let databases = &config.databases;
        tokio::try_join!(
            migrate("user", &databases.user, minitwit_user::migrations()),
            migrate(
                "follower",
                &databases.follower,
                minitwit_follower::migrations()
            ),
            migrate(
                "message",
                &databases.message,
                minitwit_message::migrations()
            ),
        )?;
        let stop_services = CancellationToken::new();
        let running = serve_services(&config, service_listeners, &stop_services);
        let addresses = services.map(|address| [address.to_string()]);
        Ok(Self {
            pages,
            api,
            services,
            gateway: config.gateway,
            backend: Backend::new(Pools::connect(addresses), config.rendered_bytes_max),
            listeners,
            running,
            stop_services,
        })
    }

    /// Serves until `shutdown`. The gateway drains before the services stop.
    ///
    /// # Errors
    ///
    /// A service or the gateway failed.
    pub fn run(self, shutdown: CancellationToken) -> BoxFuture<'static, anyhow::Result<()>> {
        Box::pin(self.serve(shutdown))
    }

    async fn serve(mut self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let gateway = minitwit_gateway::serve(self.gateway, self.backend, self.listeners, shutdown);
        tokio::select! {
            drained = gateway => drained?,
            Some(ended) = self.running.join_next() => {
                ended.context("a service panicked")??;
                anyhow::bail!("a service ended without a signal to stop");
            }
        }
        self.stop_services.cancel();
        while let Some(ended) = self.running.join_next().await {
            ended.context("a service panicked")??;
        }
        Ok(())
    }
}

fn serve_services(
    config: &Config,
    listeners: PerService<TcpListener>,
    stop: &CancellationToken,
) -> JoinSet<anyhow::Result<()>> {
    let configs = config.databases.as_ref().map(|url| ServiceConfig {
        database_url: url.clone(),
        statement_timeout: STATEMENT_TIMEOUT,
        reflection: config.reflection,
        drain: Drain::AT_ONCE,
        readiness: Readiness::default(),
    });
    let PerService {
        user: (user, user_listener),
        follower: (follower, follower_listener),
        message: (message, message_listener),
    } = configs.zip(listeners);
    let mut running = JoinSet::new();
    running.spawn(minitwit_user::serve(user, user_listener, stop.clone()));
    running.spawn(minitwit_follower::serve(
        follower,
        follower_listener,
        stop.clone(),
    ));
    running.spawn(minitwit_message::serve(
        message,
        message_listener,
        stop.clone(),
    ));
    running
}

async fn migrate(name: &str, url: &SecretString, migrations: Migrations) -> anyhow::Result<()> {
    let db = Db::open(url, STATEMENT_TIMEOUT)
        .with_context(|| format!("the {name} service's database"))?;
    let migrated = db.migrate(&migrations).await;
    db.close().await;
    migrated.with_context(|| format!("the {name} service's database"))
}

/// Opens a listener on a free port of this machine, for tests.
///
/// # Errors
///
/// No port is free.
pub async fn listen_on_free_port() -> anyhow::Result<TcpListener> {
    bind(SocketAddr::from(([127, 0, 0, 1], 0))).await
}
