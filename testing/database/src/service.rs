//! A service on a port of its own.

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

/// How long a statement may take in a test that is not about time, on a machine however busy.
const PATIENCE: Duration = Duration::from_secs(10);

impl TestDatabase {
    /// The database, with the schema that `migrations` make.
    ///
    /// # Panics
    ///
    /// A migration fails.
    pub async fn open(&self, migrations: &Migrations) -> Db {
        let db = Db::open(&self.url.clone().into(), PATIENCE)
            .expect("the URL of a test database is valid");
        db.migrate(migrations)
            .await
            .unwrap_or_else(|error| panic!("{error:#}"));
        db
    }

    /// What a service is told that owns this database.
    pub fn service_config(&self) -> ServiceConfig {
        ServiceConfig {
            database_url: self.url.clone().into(),
            statement_timeout: PATIENCE,
            reflection: false,
            drain: Drain::AT_ONCE,
            readiness: Readiness::default(),
        }
    }
}

/// Checks that both engines have the same migrations, by number and name.
///
/// # Panics
///
/// They have not.
pub fn assert_same_migrations(migrations: &Migrations) {
    let names = |migrator: &Migrator| -> Vec<(i64, String)> {
        let named = |migration: &Migration| (migration.version, migration.description.to_string());
        migrator.iter().map(named).collect()
    };
    assert_eq!(names(&migrations.sqlite), names(&migrations.postgres));
}

/// A service that listens; it is told to stop when this is dropped.
#[derive(Debug)]
pub struct RunningService {
    /// Where it listens.
    pub address: SocketAddr,
    _stop: DropGuard,
}

impl RunningService {
    /// Starts a service over a database whose schema is up to date.
    ///
    /// # Panics
    ///
    /// No port can be had. That the service itself fails is printed: its calls fail as well.
    pub async fn start<F>(
        config: ServiceConfig,
        serve: impl FnOnce(ServiceConfig, TcpListener, CancellationToken) -> F,
    ) -> Self
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port can be had");
        let address = listener.local_addr().expect("a listener has an address");
        let stop = CancellationToken::new();
        let served = serve(config, listener, stop.clone());
        tokio::spawn(async move {
            if let Err(error) = served.await {
                panic!("the service failed: {error:#}");
            }
        });
        Self {
            address,
            _stop: stop.drop_guard(),
        }
    }

    /// A channel to the service.
    ///
    /// # Panics
    ///
    /// It cannot be reached.
    pub async fn channel(&self) -> Channel {
        Endpoint::try_from(format!("http://{}", self.address))
            .expect("an address is a URL's host")
            .connect()
            .await
            .expect("the service can be reached")
    }
}
