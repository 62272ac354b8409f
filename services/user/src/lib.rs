//! The user service, which owns accounts and the `latest` of each API client.
//!
//! The service guarantees:
//!
//! - At most one account is registered with a name, even if registrations are concurrent.
//! - An acknowledged registration is durable.
//! - No password leaves the service. An email address leaves it only in an export.
//! - The number of failed sign-ins is limited.
//! - Of all values written to a client's `latest`, the one with the greatest stamp is kept.

use std::sync::Arc;

use chassis::grpc;
use database::{db::Migrations, service::ServiceConfig};
use futures_util::future::BoxFuture;
use minitwit_proto::user::v1::{
    api_client_service_server::{self, ApiClientServiceServer},
    deletion_service_server::{self, DeletionServiceServer},
    operator_service_server::{self, OperatorServiceServer},
    user_service_server::{self, UserServiceServer},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::{
    api_client::ApiClients,
    deletion::{Deletions, store::SqlDeletionStore},
    hasher::Hasher,
    latest::SqlApiClientStore,
    operator::{Operators, store::SqlOperatorStore},
    service::Users,
    store::SqlUserStore,
    throttle::SqlAttemptStore,
};

pub mod api_client;
mod avatar;
mod batches;
pub mod deletion;
pub mod hasher;
pub mod latest;
pub mod operator;
pub mod password;
mod registration;
pub mod service;
mod session;
mod sign_in;
pub mod store;
pub mod throttle;
mod validate;

/// Migrations of the service's database.
pub fn migrations() -> Migrations {
    Migrations {
        sqlite: sqlx::migrate!("./migrations/sqlite"),
        postgres: sqlx::migrate!("./migrations/postgres"),
    }
}

/// Serves requests on `listener` until `shutdown`, then finishes the requests in progress.
///
/// # Errors
///
/// The configuration is not valid, or the listener failed.
///
/// The future is boxed, so that the service is compiled in this crate and not again in each program.
pub fn serve(
    config: ServiceConfig,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> BoxFuture<'static, anyhow::Result<()>> {
    Box::pin(run(config, listener, shutdown))
}

async fn run(
    config: ServiceConfig,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let Some(db) = config.database(&migrations(), &shutdown).await? else {
        return Ok(());
    };
    let hasher = Hasher::new(hasher::Limits::default());
    let users = Users::new(
        SqlUserStore::new(db.clone()),
        SqlAttemptStore::new(db.clone()),
        hasher.clone(),
    );
    let deletions = Arc::new(Deletions::new(&users, SqlDeletionStore::new(db.clone())));
    let operators = Operators::new(
        &users,
        Arc::clone(&deletions),
        hasher,
        SqlOperatorStore::new(db.clone()),
    );
    let clients = ApiClients::new(SqlApiClientStore::new(db.clone()));
    let mut routes = Routes::new(
        UserServiceServer::new(users).max_decoding_message_size(grpc::MESSAGE_BYTES_MAX),
    );
    routes = routes.add_service(
        ApiClientServiceServer::new(clients).max_decoding_message_size(grpc::MESSAGE_BYTES_MAX),
    );
    routes = routes.add_service(
        DeletionServiceServer::from_arc(deletions)
            .max_decoding_message_size(grpc::MESSAGE_BYTES_MAX),
    );
    routes = routes.add_service(
        OperatorServiceServer::new(operators).max_decoding_message_size(grpc::MESSAGE_BYTES_MAX),
    );
    let options = config.server_options(
        vec![
            user_service_server::SERVICE_NAME,
            api_client_service_server::SERVICE_NAME,
            deletion_service_server::SERVICE_NAME,
            operator_service_server::SERVICE_NAME,
        ],
        minitwit_proto::DESCRIPTORS,
    );
    let outcome = grpc::serve(routes, options, listener, shutdown).await;
    db.close().await;
    outcome
}
