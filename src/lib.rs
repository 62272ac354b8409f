//! The whole suite in one process: the same services and the same gateway as in a Swarm, with
//! loopback between them and SQLite beneath them.

use std::{fs, net::SocketAddr, path::Path};

use anyhow::Context as _;
use chassis::{admin::Readiness, process::bind, shutdown::Drain};
use database::{
    db::{Db, Migrations, STATEMENT_TIMEOUT},
    service::ServiceConfig,
};
use futures_util::future::{BoxFuture, LocalBoxFuture};
use minitwit_gateway::{
    Config as GatewayConfig, Listeners, args::ServiceAddressArgs, backend::Backend,
};
use secrecy::SecretString;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

pub mod address;
pub mod args;
pub mod flag;
mod names;
pub mod user;

/// What the suite is told when it starts.
#[derive(Debug)]
pub struct Config {
    /// Where the pages listen.
    pub listen_pages: SocketAddr,
    /// Where the simulator's API listens.
    pub listen_api: SocketAddr,
    /// Where the services listen.
    pub listen_services: ServiceListen,
    /// The services' databases.
    pub databases: Databases,
    /// How the gateway behaves.
    pub gateway: GatewayConfig,
    /// How many bytes of rendered answers the gateway keeps.
    pub rendered_bytes_max: u64,
    /// Whether the services answer gRPC reflection.
    pub reflection: bool,
}

/// Where the services listen.
#[derive(Clone, Copy, Debug)]
pub struct ServiceListen {
    /// The user service.
    pub user: SocketAddr,
    /// The follower service.
    pub follower: SocketAddr,
    /// The message service.
    pub message: SocketAddr,
}

/// The URL of each service's database.
#[derive(Clone, Debug)]
pub struct Databases {
    /// The user service's.
    pub user: SecretString,
    /// The follower service's.
    pub follower: SecretString,
    /// The message service's.
    pub message: SecretString,
}

impl Databases {
    /// SQLite files in a folder, which is made when it is not there.
    ///
    /// # Errors
    ///
    /// The folder cannot be made.
    pub fn in_folder(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let file = |name: &str| {
            let path = folder.join(name).display().to_string();
            // The path is part of a URL.
            let path = path
                .replace('%', "%25")
                .replace('?', "%3F")
                .replace('#', "%23");
            SecretString::from(format!("sqlite:{path}"))
        };
        Ok(Self {
            user: file("user.db"),
            follower: file("follower.db"),
            message: file("message.db"),
        })
    }
}

/// The suite, bound and migrated, about to serve.
pub struct Suite {
    /// Where the pages listen.
    pub pages: SocketAddr,
    /// Where the simulator's API listens.
    pub api: SocketAddr,
    /// Where the services listen.
    pub services: ServiceListen,
    gateway: GatewayConfig,
    backend: Backend,
    listeners: Listeners,
    running: JoinSet<anyhow::Result<()>>,
    stop_services: CancellationToken,
}

impl Suite {
    /// Binds every port before it starts any service, so that a taken port is told at once, and
    /// brings the databases' schemas up to date.
    ///
    /// # Errors
    ///
    /// A port is taken, or a database cannot be opened.
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
        let user = bind(config.listen_services.user).await?;
        let follower = bind(config.listen_services.follower).await?;
        let message = bind(config.listen_services.message).await?;
        let services = ServiceListen {
            user: user.local_addr()?,
            follower: follower.local_addr()?,
            message: message.local_addr()?,
        };

        let stop = CancellationToken::new();
        let service = |url: &SecretString| ServiceConfig {
            database_url: url.clone(),
            statement_timeout: STATEMENT_TIMEOUT,
            reflection: config.reflection,
            drain: Drain::AT_ONCE,
            readiness: Readiness::default(),
        };
        let Databases {
            user: users,
            follower: follows,
            message: messages,
        } = &config.databases;
        tokio::try_join!(
            migrate("user", users, minitwit_user::migrations()),
            migrate("follower", follows, minitwit_follower::migrations()),
            migrate("message", messages, minitwit_message::migrations()),
        )?;
        let mut running = JoinSet::new();
        running.spawn(minitwit_user::serve(service(users), user, stop.clone()));
        running.spawn(minitwit_follower::serve(
            service(follows),
            follower,
            stop.clone(),
        ));
        running.spawn(minitwit_message::serve(
            service(messages),
            message,
            stop.clone(),
        ));

        let addresses = ServiceAddressArgs {
            user_service: vec![services.user.to_string()],
            follower_service: vec![services.follower.to_string()],
            message_service: vec![services.message.to_string()],
        };
        let backend = Backend::new(addresses.pools(), config.rendered_bytes_max);
        let gateway = config.gateway;
        Ok(Self {
            pages,
            api,
            services,
            gateway,
            backend,
            listeners,
            running,
            stop_services: stop,
        })
    }

    /// Serves until `shutdown`; the gateway drains before the services stop.
    ///
    /// # Errors
    ///
    /// A service or the gateway ended by itself.
    pub fn run(self, shutdown: CancellationToken) -> BoxFuture<'static, anyhow::Result<()>> {
        Box::pin(self.serve(shutdown))
    }

    async fn serve(mut self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let gateway = minitwit_gateway::serve(self.gateway, self.backend, self.listeners, shutdown);
        tokio::select! {
            drained = gateway => drained?,
            Some(ended) = self.running.join_next() => {
                ended.context("a service panicked")??;
                anyhow::bail!("a service ended by itself");
            }
        }
        self.stop_services.cancel();
        while let Some(ended) = self.running.join_next().await {
            ended.context("a service panicked")??;
        }
        Ok(())
    }
}

async fn migrate(name: &str, url: &SecretString, migrations: Migrations) -> anyhow::Result<()> {
    let db = Db::open(url, STATEMENT_TIMEOUT)
        .with_context(|| format!("the {name} service's database"))?;
    let migrated = db.migrate(&migrations).await;
    db.close().await;
    migrated.with_context(|| format!("the {name} service's database"))
}

/// A listener on a free port of this machine, for tests.
///
/// # Errors
///
/// There is none.
pub async fn free_port() -> anyhow::Result<TcpListener> {
    bind(SocketAddr::from(([127, 0, 0, 1], 0))).await
}
