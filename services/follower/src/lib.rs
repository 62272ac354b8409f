//! The follower service, which owns the follow relations. It knows accounts only by their ids.
//!
//! The service guarantees:
//!
//! - Of all writes of an edge, the write with the greatest stamp wins, in any order of arrival and after any
//!   number of repetitions.
//! - An acknowledged write is durable.
//! - The version of a list changes exactly when the listed accounts change.

use std::sync::Arc;

use chassis::grpc;
use database::{db::Migrations, service::ServiceConfig};
use futures_util::future::BoxFuture;
use minitwit_proto::follower::v1::{
    deletion_service_server::{self, DeletionServiceServer},
    follower_service_server::{FollowerServiceServer, SERVICE_NAME},
    operator_service_server::{self, OperatorServiceServer},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::{
    deletion::{Deletions, store::SqlDeletionStore},
    operator::{Operators, store::SqlOperatorStore},
    service::Follows,
    store::SqlFollowerStore,
};

mod batches;
pub mod deletion;
mod list;
pub mod operator;
pub mod service;
pub mod store;

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
    let follows = Follows::new(SqlFollowerStore::new(db.clone()));
    let deletions = Arc::new(Deletions::new(SqlDeletionStore::new(db.clone())));
    let operators = Operators::new(SqlOperatorStore::new(db.clone()), Arc::clone(&deletions));
    let mut routes = Routes::new(
        FollowerServiceServer::new(follows).max_decoding_message_size(grpc::MESSAGE_BYTES_MAX),
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
            SERVICE_NAME,
            deletion_service_server::SERVICE_NAME,
            operator_service_server::SERVICE_NAME,
        ],
        minitwit_proto::DESCRIPTORS,
    );
    let outcome = grpc::serve(routes, options, listener, shutdown).await;
    db.close().await;
    outcome
}
