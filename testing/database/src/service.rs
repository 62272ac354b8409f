//! A service that listens on a free port, for tests.

use std::{net::SocketAddr, time::Duration};

use sqlx::migrate::{Migration, Migrator};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::{Channel, Endpoint};

use chassis::{admin::Readiness, shutdown::Drain};
use database::{
    db::{Db, Migrations},
    service::ServiceConfig,
};

use crate::TestDatabase;

/// Statement timeout of tests that do not test timeouts. It is long enough for a busy machine.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);

impl TestDatabase {
    /// Opens the database and runs `migrations`.
    ///
    /// # Panics
    ///
    /// A migration fails.
    pub async fn open(&self, migrations: &Migrations) -> Db {
        let db = Db::open(&self.url.clone().into(), STATEMENT_TIMEOUT)
            .expect("the URL of a test database is valid");
        db.migrate(migrations)
            .await
            .unwrap_or_else(|error| panic!("{error:#}"));
        db
    }

    /// Configuration of a service that owns this database.
    pub fn service_config(&self) -> ServiceConfig {
        ServiceConfig {
            database_url: self.url.clone().into(),
            statement_timeout: STATEMENT_TIMEOUT,
            reflection: false,
            drain: Drain::AT_ONCE,
            readiness: Readiness::default(),
        }
    }
}

/// Asserts that the migrations of both engines have the same versions and names.
///
/// # Panics
///
/// The versions or names differ.
pub fn assert_same_migrations(migrations: &Migrations) {
    let list = |migrator: &Migrator| -> Vec<(i64, String)> {
        let entry = |migration: &Migration| (migration.version, migration.description.to_string());
        migrator.iter().map(entry).collect()
    };
    assert_eq!(list(&migrations.sqlite), list(&migrations.postgres));
}

/// A running service. Dropping this starts its shutdown.
#[derive(Debug)]
pub struct RunningService {
    /// Address of the gRPC interface.
    pub address: SocketAddr,
    _stop: DropGuard,
}

impl RunningService {
    /// Starts a service. The schema of its database must be up to date.
    ///
    /// # Panics
    ///
    /// No port is free. If the service fails later, its task panics, and calls to the service fail.
    pub async fn start<F>(
        config: ServiceConfig,
        serve: impl FnOnce(ServiceConfig, TcpListener, CancellationToken) -> F,
    ) -> Self
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let stop = CancellationToken::new();
        let server = serve(config, listener, stop.clone());
        tokio::spawn(async move {
            if let Err(error) = server.await {
                panic!("the service failed: {error:#}");
            }
        });
        Self {
            address,
            _stop: stop.drop_guard(),
        }
    }

    /// Opens a channel to the service.
    ///
    /// # Panics
    ///
    /// The service cannot be reached.
    pub async fn channel(&self) -> Channel {
        Endpoint::try_from(format!("http://{}", self.address))
            .expect("an address is a URL's host")
            .connect()
            .await
            .expect("the service can be reached")
    }
}
