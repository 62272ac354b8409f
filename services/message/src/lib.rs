//! The message service: owns messages and their flags, and nothing else.
//!
//! It promises that an acknowledged message is durable and stands exactly once, however often its
//! creation was repeated; that a flagged message is listed nowhere; and that a timeline's version
//! changes exactly when the messages it lists do.

use chassis::grpc;
use database::{db::Migrations, service::ServiceConfig};
use futures_util::future::BoxFuture;
use minitwit_proto::message::v1::{
    message_service_server::{MessageServiceServer, SERVICE_NAME},
    operator_service_server::{self, OperatorServiceServer},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::{
    operator::{Operators, store::SqlOperatorStore},
    service::Messages,
    store::SqlMessageStore,
};

mod batches;
pub mod operator;
pub mod service;
pub mod store;
mod timeline;

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
    let messages = Messages::new(SqlMessageStore::new(db.clone()));
    let operators = Operators::new(SqlOperatorStore::new(db.clone()));
    let mut routes = Routes::new(
        MessageServiceServer::new(messages).max_decoding_message_size(grpc::MESSAGE_BYTES_MAX),
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
