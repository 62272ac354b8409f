//! The message service, which owns messages and their flags.
//!
//! The service guarantees:
//!
//! - An acknowledged message is durable, and it is stored once, however often its creation was repeated.
//! - No list includes a flagged message.
//! - The version of a timeline changes exactly when the listed messages change.

use std::sync::Arc;

use chassis::grpc;
use database::{db::Migrations, service::ServiceConfig};
use futures_util::future::BoxFuture;
use minitwit_proto::message::v1::{
    deletion_service_server::{self, DeletionServiceServer},
    message_service_server::{MessageServiceServer, SERVICE_NAME},
    moderation_service_server::{self, ModerationServiceServer},
    operator_service_server::{self, OperatorServiceServer},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::{
    deletion::{Deletions, store::SqlDeletionStore},
    moderation::{Moderation, store::SqlModerationStore},
    operator::{Operators, store::SqlOperatorStore},
    service::Messages,
    store::SqlMessageStore,
};

mod batches;
pub mod deletion;
pub mod moderation;
pub mod operator;
pub mod service;
pub mod store;
mod timeline;

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
    let messages = Messages::new(SqlMessageStore::new(db.clone()));
    let deletions = Arc::new(Deletions::new(SqlDeletionStore::new(db.clone())));
    let moderation = Arc::new(Moderation::new(SqlModerationStore::new(db.clone())));
    let operators = Operators::new(
        SqlOperatorStore::new(db.clone()),
        Arc::clone(&moderation),
        Arc::clone(&deletions),
    );
    let mut routes = Routes::new(
        MessageServiceServer::new(messages).max_decoding_message_size(grpc::MESSAGE_BYTES_MAX),
    );
    routes = routes.add_service(
        DeletionServiceServer::from_arc(deletions)
            .max_decoding_message_size(grpc::MESSAGE_BYTES_MAX),
    );
    routes = routes.add_service(
        ModerationServiceServer::from_arc(moderation)
            .max_decoding_message_size(grpc::MESSAGE_BYTES_MAX),
    );
    routes = routes.add_service(
        OperatorServiceServer::new(operators).max_decoding_message_size(grpc::MESSAGE_BYTES_MAX),
    );
    let options = config.server_options(
        vec![
            SERVICE_NAME,
            deletion_service_server::SERVICE_NAME,
            moderation_service_server::SERVICE_NAME,
            operator_service_server::SERVICE_NAME,
        ],
        minitwit_proto::DESCRIPTORS,
    );
    let outcome = grpc::serve(routes, options, listener, shutdown).await;
    db.close().await;
    outcome
}
