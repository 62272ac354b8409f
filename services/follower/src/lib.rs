//! The follower service: owns who follows whom, and nothing else.
//!
//! It promises that of all writes of an edge the one with the greatest stamp wins, whenever and
//! however often each of them arrives; that an acknowledged write is durable; and that a list's
//! version changes exactly when the accounts it lists do. Accounts are known to it by id alone.

use chassis::grpc;
use database::{db::Migrations, service::ServiceConfig};
use futures_util::future::BoxFuture;
use minitwit_proto::follower::v1::{
    follower_service_server::{FollowerServiceServer, SERVICE_NAME},
    operator_service_server::{self, OperatorServiceServer},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::{
    operator::{Operators, store::SqlOperatorStore},
    service::Follows,
    store::SqlFollowerStore,
};

mod batches;
mod list;
pub mod operator;
pub mod service;
pub mod store;

/// The schema of the service's database.
pub fn migrations() -> Migrations {
    Migrations {
        sqlite: sqlx::migrate!("./migrations/sqlite"),
        postgres: sqlx::migrate!("./migrations/postgres"),
    }
}

/// Serves on `listener` until `shutdown`, then drains.
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
    let operators = Operators::new(SqlOperatorStore::new(db.clone()));
    let mut routes = Routes::new(
        FollowerServiceServer::new(follows).max_decoding_message_size(grpc::MESSAGE_BYTES_MAX),
    );
    routes = routes.add_service(
        OperatorServiceServer::new(operators).max_decoding_message_size(grpc::MESSAGE_BYTES_MAX),
    );
    let options = config.server_options(
        vec![SERVICE_NAME, operator_service_server::SERVICE_NAME],
        minitwit_proto::DESCRIPTORS,
    );
    let outcome = grpc::serve(routes, options, listener, shutdown).await;
    db.close().await;
    outcome
}
